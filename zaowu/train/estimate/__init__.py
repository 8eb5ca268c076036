"""What a training will cost, before it runs (`cost`, from what `probe` measured on this machine) and in it (`pace`)."""
