"""From affinities and bounds of sizes to labels: methods, and the moves that improve them."""
