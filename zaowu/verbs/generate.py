"""`zaowu generate`: a model that writes goes on from a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zaowu import bases, decode
from zaowu.config import WriteConfig
from zaowu.errors import UserError
from zaowu.inputs.text.chat import Template
from zaowu.learn import choose_device
from zaowu.learn.chats import said
from zaowu.progress import note, speaking
from zaowu.run.language import Language, Text, language_of, open_language
from zaowu.run.load import is_run, load
from zaowu.verbs.predict import use_threads

MAX_NUM = 64  # texts for one prompt


@dataclass(frozen=True)
class Texts:
    """What was written: for each prompt its texts; or, with answers to choose from, their probabilities."""

    texts: tuple[tuple[Text, ...], ...] = ()
    prompts: tuple[str, ...] = ()
    shares: tuple[dict[str, float], ...] = ()  # answer -> its probability, likeliest first

    def to_plain(self) -> list[dict[str, Any]]:
        """One object for each text, or for each prompt."""
        if self.shares:
            return [
                {"prompt": prompt, "answer": next(iter(shares)), "probabilities": shares}
                for prompt, shares in zip(self.prompts, self.shares, strict=True)
            ]
        return [
            {name: value for name, value in asdict(one).items() if value is not None}
            for texts in self.texts
            for one in texts
        ]

    def lines(self) -> list[str]:
        """The texts alone; of answers the likeliest, and how likely."""
        if self.shares:
            best = (next(iter(shares.items())) for shares in self.shares)
            return [f"{answer}\t{share:.1%}" for answer, share in best]
        return [one.text for texts in self.texts for one in texts]


def generate(
    run: str | Path,
    prompts: str | Sequence[str],
    *,
    max_tokens: int = 128,
    num: int = 1,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repeat_penalty: float = 1.0,
    no_repeat: int = 0,
    beams: int = 1,
    length_penalty: float = 1.0,
    stop: Sequence[str] = (),
    one_of: Sequence[str] = (),
    chat: bool = False,
    quiet: bool = False,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Texts:
    """run: a run of `zaowu fit` whose target is a text; a base of `zaowu pretrain --objective causal`; a folder or hub
    name of GPT-2, Llama, Qwen2, BART or Marian.

    Without more said, the likeliest token is taken each time. temperature > 0: drawn, from the `top_k` likeliest, from
    those that have `top_p` of the probability. beams > 1: the likeliest text is searched. num: texts for each prompt.
    stop: a text ends before the first of these. one_of: nothing is written, these answers are compared. chat: each
    prompt is what a user says, and stands in the chat template of the tokenizer.
    Writing ends after `max_tokens`, or where the model's context is full.
    Raises UserError for a folder, a prompt or a choice that cannot be used.
    """
    with speaking(quiet=quiet):
        config = WriteConfig(
            max_tokens=max_tokens,
            beams=beams,
            length_penalty=length_penalty,
            no_repeat=no_repeat,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            repeat_penalty=repeat_penalty,
            stop=_several(stop),
            seed=seed,
        )
        texts, answers = list(_several(prompts)), list(_several(one_of))
        language = _opened(run, config, num=num, device=device, precision=precision, threads=threads)
        if chat:
            template = Template(language.codec)
            texts = [said(template, text) for text in texts]
        if answers:
            shares = language.choose(texts, answers)
            ranked = [sorted(zip(answers, row.tolist(), strict=True), key=lambda one: -one[1]) for row in shares]
            return Texts(prompts=tuple(texts), shares=tuple(map(dict, ranked)))
        return Texts(tuple(map(tuple, language.write(texts, config, num=num))), tuple(texts))


def stream(
    run: str | Path,
    prompt: str,
    *,
    config: WriteConfig | None = None,
    chat: bool = False,
    quiet: bool = False,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Iterator[str]:
    """The same text in pieces, each as soon as its characters are whole. Raises UserError before the first one."""
    with speaking(quiet=quiet):
        config = config or WriteConfig()
        if config.beams > 1:
            raise UserError("--stream: with --beams the text is known at the end alone. Leave one of them out.")
        language = _opened(run, config, num=1, device=device, precision=precision, threads=threads)
        prompt = said(Template(language.codec), prompt) if chat else prompt
        language.prompts([prompt])
    return language.stream(prompt, config)


def _opened(
    run: str | Path, config: WriteConfig, *, num: int, device: str, precision: str, threads: int | None
) -> Language:
    decode.check(config)
    if not 1 <= num <= MAX_NUM:
        raise UserError(f"--num: expected 1 to {MAX_NUM} texts for each prompt, got {num:,}.")
    if num > 1 and config.temperature == 0 and num > config.beams:
        raise UserError(f"--num {num}: without --temperature or as many --beams, all texts would be the same.")
    for sentence in decode.without_effect(config):
        note(sentence)
    use_threads(threads)
    folder = Path(run) if Path(run).is_dir() else bases.resolve(str(run))
    if is_run(folder):
        return language_of(load(folder, device=str(choose_device(device)), precision=precision))
    return open_language(folder, device=choose_device(device), precision_name=precision)


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
