"""Whether it is true: accuracies and exactness."""
