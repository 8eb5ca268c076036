"""What a page shows of texts that a model wrote: beside references, how long, what they repeat, where it looked."""
