"""A pre-trained model as a base: a folder that others open, and that `fit --base` and `pretrain --base` take."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from zaowu.config import PretrainConfig, to_plain
from zaowu.errors import UserError
from zaowu.learn.corpus import Pretrained
from zaowu.report.pretraining import Pretraining, write as write_report
from zaowu.run.folder import begin, seal, settle, write_json, writing
from zaowu.run.load import BASE_KIND
from zaowu.run.save import published_state, token_facts
from zaowu.train.stop import best
from zaowu.trunk import families

CLASSES = {  # of transformers, by what the model was pre-trained for
    "causal": ("AutoModelForCausalLM",),
    "next_sentence": ("AutoModelForPreTraining", "AutoModelForMaskedLM"),
    "sentence_order": ("AutoModelForPreTraining", "AutoModelForMaskedLM"),
    "masked": ("AutoModelForMaskedLM",),
}


@dataclass(frozen=True)
class Base:
    """A base that was made, in its folder. stopped: by Ctrl-C; `pretrain --resume` goes on."""

    folder: Path
    content: Pretraining
    stopped: bool = False

    @property
    def scores(self) -> dict[str, float]:
        """Of the weights that were kept, on held-out documents; empty where there are none."""
        return best(self.content.history).valid if self.content.history else {}

    def summary(self) -> dict[str, Any]:
        """What `--json` prints."""
        content = self.content
        return {
            "base": str(self.folder),
            "report": str(self.folder / "report.html"),
            "objectives": list(content.objectives),
            "parameters": content.shape["parameters"],
            "pieces": content.shape.get("pieces"),
            "tokens": int(content.cost["tokens"]),
            "seconds": round(content.cost["seconds"], 1),
            "before": content.before,
            "after": self.scores,
            "reason": content.reason,
            "opens_with": list(content.opens_with),
        }

    def lines(self) -> list[str]:
        content = self.content
        units = next(name for name in ("pieces", "patches") if name in content.shape)
        found = [f"{content.shape['parameters'] / 1e6:.1f} M parameters, {content.shape[units]:,} {units}. "
                 f"Stopped: {content.reason}."]  # fmt: skip
        if self.scores and units == "patches":
            found.append(
                f"Held-out records: the error of hidden patches fell from {content.before['loss']:.3f} to "
                f"{self.scores['loss']:.3f}; to paint each in its mean would be 1."
            )
        elif self.scores:
            before = f"{content.before['perplexity']:,.1f} -> " if content.before else ""
            found.append(
                f"Held-out documents: perplexity {before}{self.scores['perplexity']:,.1f}, "
                f"{self.scores['accuracy']:.1%} of the pieces right."
            )
        found.append(f"Use it: zaowu fit DATA --base {self.folder}")
        found.append(f"Report: {self.folder / 'report.html'}")
        return found


def shape_for_others(made: Pretrained) -> tuple[dict[str, Any] | None, tuple[str, ...], str]:
    """Their config.json, the classes of theirs that open the folder, and, where there are none, why."""
    family = families.find(made.model_type)
    heads = tuple(made.objectives)
    try:
        config = family.write_config(made.model.config.trunk, facts(made), model_type=made.model_type, heads=heads)
    except UserError as error:
        return None, (), str(error)
    return config, CLASSES[heads[-1]], ""


def facts(made: Pretrained) -> dict[str, int]:
    """Of the token table that the model has now, as its family wants them."""
    codec = made.source.codec
    found = {**made.facts, **token_facts(codec.num_pieces, codec.pad_id, made.model_type)}
    for name, role in (("start_id", "bos_token"), ("end_id", "eos_token")):
        number = codec.tokenizer.token_to_id(codec.special.get(role, ""))
        if number is not None:
            found[name] = number
    return found


def save(made: Pretrained, content: Pretraining, config: PretrainConfig, folder: Path, *, lang: str) -> Base:
    """Everything under a temporary name, the manifest last, then one rename."""
    their_config, _, _ = shape_for_others(made)
    family = families.find(made.model_type)
    with writing(folder):
        fresh = begin(folder)
        made.source.codec.save(fresh)
        if their_config is not None:
            write_json(fresh / "config.json", their_config)
        places = family.names(made.model.config.trunk, facts(made), heads=tuple(made.objectives))
        families.save_tensors(fresh / "model.safetensors", published_state(made.model.state_dict()), places)
        write_report(content, fresh / "report.html", lang=lang)
        finish(fresh, made, content, config)
    settle(folder)
    return Base(folder, content, stopped=made.training.stopped)


def finish(fresh: Path, made: Pretrained, content: Pretraining, config: PretrainConfig) -> None:
    """What every base has beside its weights and its report: figures, log, and the manifest, last."""
    write_json(fresh / "metrics.json", asdict(content))
    with (fresh / "log.jsonl").open("w", encoding="utf-8") as log:
        log.writelines(json.dumps(asdict(point)) + "\n" for point in content.history)
    manifest = {
        "kind": BASE_KIND,
        "model_type": made.model_type,
        "objectives": list(made.objectives),
        "model": to_plain(made.model.config),
        "config": to_plain(config),
    }
    seal(fresh, manifest)
