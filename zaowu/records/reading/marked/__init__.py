"""Files that mark places in a text: answers in a context, names and terms in a sentence."""
