"""Several tasks of one network, which change one after the other: what is learned and forgotten."""
