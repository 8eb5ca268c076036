"""What several benchmarks share: figures that outlive a kill, the peak, cases and their base folders."""
