"""What the page says of written texts in English, beside the words of all pages. The keys are those of `chinese.py`."""

WORDS = {
    "title.written": "Texts it wrote",
    "read.written": "The figure at a text is its chrF: how much of the reference's runs of 1 to 6 characters it has. "
    "A low one may still be right in other words, so read them.",
    "written.bad": "The texts that are furthest off",
    "written.good": "The texts that come closest",
    "written.random": "Texts drawn by chance",
    "written.nothing": "(nothing)",
    "written.reference": "reference: {texts}",
    "written.or": " or ",
    "picture.written_lengths": "Length of text and reference",
    "read.written_lengths": "Each dot is a text; a larger one stands for several. On the diagonal it is as long as its "
    "reference, below it shorter.",
    "axis.reference_characters": "characters of the reference",
    "axis.written_characters": "characters written",
    "counted.zh": "BLEU goes by Chinese characters (sacreBLEU's tokenizer zh), ROUGE and repetitions by characters.",
    "counted.char": "BLEU, ROUGE and repetitions go by characters.",
    "counted.13a": "BLEU goes by words and punctuation (sacreBLEU's tokenizer 13a), ROUGE and repetitions by words.",
    "passages": "What it repeats of its training answers",
    "read.passages": "A passage counts where at least {n} {unit} in a row stand word for word in a training answer and "
    "not in the text that was read.",
    "unit.characters": "characters",
    "unit.words": "words",
    "passages.some": "{copied} of the {long} texts that are long enough have such a passage; of their runs of {n} "
    "{unit} {share} stand in training.",
    "passages.none": "None of the {long} texts that are long enough has such a passage.",
    "passages.short": "No text is long enough to have such a passage.",
    "passages.whole": "{whole} of {texts} texts are a training answer from beginning to end; of short texts that is "
    "often right.",
    "passages.longest": "The longest passages",
    "passages.place": "{units} {unit}, in row {row}; training row {train_row}",
    "picture.attention": "Where it looks while it writes",
    "read.attention": "Each line is a piece that is written, each column one that is read; the stronger the colour, "
    "the more of its attention goes there (the mean over the heads of the last layer).",
    "attention.cut": "Of {written} and {source} pieces the first are drawn.",
    "axis.read": "read",
    "axis.written": "written",
}
