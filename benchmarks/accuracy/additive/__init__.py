"""Answers that are sums, of which each term has inputs of its own, by the number of samples."""
