"""Ways of going wrong, across all verbs: one table of what is typed and what is said about it.

Whoever mends or changes a sentence changes it here. RUN is a run that answers `label` from `text`, PRICES one that
answers the number `price` from `title`; both lie elsewhere. All other names are of `FILES`.
"""

import re
import shlex
import shutil
import zipfile
from pathlib import Path

import openpyxl
import pytest
import typer
from hostile import LONGEST, snapshot

import zaowu
from zaowu.bases.names import CATALOGUE


def csv(header: str, *rows: str) -> str:
    return "\n".join([header, *rows, ""])


def titles(row: str, *, num: int = 40) -> list[str]:
    """`num` rows of a text and of whatever else `row` says of the row `i`."""
    return [f"第{i}条新闻标题 title {i}," + row.format(i=i, kind="ab"[i % 2], tag="xyz"[i % 3]) for i in range(num)]


FILES = {
    "plain.csv": csv("title,topic", *titles("{kind}")),
    "two.csv": csv("title,label,topic", *titles("{kind},{tag}")),
    "weights.csv": csv("title,topic,negative,words", *titles("{kind},-{i}.5,heavy")),
    "constant.csv": csv("title,price", *titles("3.50")),
    "words.csv": csv("title,price", *titles("cheap")),
    "prices.csv": csv("title,price", *titles("{i}.25")),
    "tags.csv": csv("title,tags", *titles('"[""x"", ""y""]"')),
    "one_class.csv": csv("title,topic", *titles("a")),
    "many_classes.csv": csv("title,topic", *titles("topic {i}", num=120)),
    "one_group.csv": csv("title,topic,author", *titles("{kind},same")),
    "no_text.csv": csv("code,topic", *[f"X{i:04}-{i * 7919},{'ab'[i % 2]}" for i in range(40)]),
    "unlabelled.csv": csv("text,label", *titles("")),
    "ragged.csv": csv("title,topic", *titles("{kind}"), "one, two, three, four"),
    "texts.csv": csv("text", "一条没有标签的新闻", "another one"),
    "other_columns.csv": csv("name,place,size", "a,b,1", "c,d,2"),
    "header.csv": "title,topic\n",
    "empty.csv": "",
    "blank.csv": " \n\n ",
    "broken.jsonl": '{"text": "a b", "label": "x"}\n{"text": \n',
    "binary.csv": "a\0b\0" * 400,
    "a_file": "precious",
    "a_folder/notes.txt": "precious",
    "pickles/config.json": "{}",
    "pickles/tokenizer.json": "{}",
    "pickles/tokenizer_config.json": "{}",
    "pickles/pytorch_model.bin": "x",
}
FAST = "--base none --size mini --epochs 1 --threads 1 --quiet"
FIT = f"fit plain.csv {FAST}"

# what is typed | what is said, a regular expression for all of it | the exit code
TABLE = [
    # the command line itself
    ("fti plain.csv", r"No such command 'fti'\. Did you mean 'fit'\? See 'zaowu --help'\.", 2),
    ("predcit RUN 一句话", r"No such command 'predcit'\. Did you mean 'predict'\? .*", 2),
    ("--verson", r"No such option: --verson\. Did you mean '--version'\? .*", 2),
    ("fit", r"Missing argument .* See 'zaowu fit --help'\.", 2),
    ("fit plain.csv two.csv", r"Got unexpected extra argument.*two\.csv.* See 'zaowu fit --help'\.", 2),
    ("fit plain.csv --targt topic", r"No such option: --targt\. Did you mean '--target'\? See 'zaowu fit --help'\.", 2),
    ("fit plain.csv --epochs", r"Option '--epochs' requires an argument\. .*", 2),
    ("fit plain.csv --epochs three", r"--epochs: expected a whole number, got 'three'\. See 'zaowu fit --help'\.", 2),
    ("fit plain.csv --lr fast", r"--lr: expected a number, got 'fast'\. .*", 2),
    # pretrain
    ("pretrain", r"Missing argument .* See 'zaowu pretrain --help'\.", 2),
    ("pretrain plain.csv", r"plain\.csv: expected text .*", 2),
    ("pretrain nowhere.txt", r"nowhere\.txt: there is no such file .*|nowhere\.txt: there is no .*", 2),
    ("pretrain empty.csv", r"empty\.csv: .*", 2),
    ("pretrain a_folder/notes.txt --objective nsp", r"--objective: expected mlm\+nsp, .*", 2),
    ("pretrain a_folder/notes.txt --set optimizer=sgd", r"--set optimizer: expected adamw or lamb, got 'sgd'\.", 2),
    ("pretrain a_folder/notes.txt --set recompute=maybe", r"--set recompute: expected yes or no, got 'maybe'\.", 2),
    (
        "pretrain a_folder/notes.txt --set warmpu=0",
        r"--set: there is no setting 'warmpu'\. Did you mean 'warmup'\? .*",
        2,
    ),
    ("pretrain a_folder/notes.txt --mix other=2", r"--mix: 'other' is not one of the sources\..*", 2),
    ("pretrain a_folder/notes.txt --part 9/8", r"--part: expected i/n with i from 1 to n, .*", 2),
    ("estimate pretrain a_folder/notes.txt --watts 0", r"--watts: expected .*", 2),
    # fit: files
    ("estimate fit plian.csv", r"plian\.csv: there is no such file\. Did you mean 'plain\.csv'\?", 2),
    ("estimate fit plain.csv --watts -5", r"--watts: expected .*", 2),
    (f"fit plian.csv {FAST}", r"plian\.csv: there is no such file\. Did you mean 'plain\.csv'\?", 2),
    (
        f"fit nowhere/plain.csv {FAST}",
        r"nowhere/plain\.csv: there is no such file\. .* no folder 'nowhere' either\.",
        2,
    ),
    (f"fit empty.csv {FAST}", r"empty\.csv: the file is empty\.", 2),
    (f"fit blank.csv {FAST}", r"blank\.csv: the file holds nothing but white space\.", 2),
    (f"fit header.csv {FAST}", r"header\.csv: there is a header \(title, topic\) and no row below it\.", 2),
    (f"fit binary.csv {FAST}", r"binary\.csv: expected a table .*, got a binary file\. Save it as CSV .*", 2),
    (f"fit broken.jsonl {FAST}", r"broken\.jsonl, row 2: expected a JSON object, got .*--on-bad-row skip\.", 2),
    (f"fit ragged.csv {FAST}", r"ragged\.csv, row 42: expected 2 fields, got 4\. .*--on-bad-row skip\.", 2),
    (f"fit a_folder {FAST}", r"a_folder: expected one sub-folder .* Did you mean a_folder/notes\.txt\?", 2),
    (f"fit 'book.xlsx#Shet' {FAST}", r"book\.xlsx: there is no sheet 'Shet'\. Did you mean 'Sheet'\?", 2),
    (f"fit 'plain.csv#topic' {FAST}", r"plain\.csv: '#topic' names a sheet of an Excel file or .* only\.", 2),
    (
        f"fit 'pack.zip#news.csv' {FAST}",
        r"pack\.zip: there is no 'news\.csv' in the archive\. It holds plain\.csv\.",
        2,
    ),
    (f"fit htp://example.org/table.csv {FAST}", r"htp://.*: cannot be read .*htp.* Did you mean 'https'\?", 2),
    (f"fit org/data {FAST}", r"org/data: nothing of this name is here .* cannot be reached\. .*", 2),
    (f"{FIT} --valid plian.csv", r"plian\.csv: there is no such file\. Did you mean 'plain\.csv'\?", 2),
    (
        f"{FIT} --test other_columns.csv",
        r"other_columns\.csv: expected the columns of plain\.csv, 'title' is missing.*",
        2,
    ),
    (f"{FIT} --on-bad-row skp", r"--on-bad-row: expected stop or skip, got 'skp'\. Did you mean 'skip'\?", 2),
    # fit: columns
    (f"{FIT} --target topci", r"plain\.csv: there is no column 'topci' as --target says\. Did you mean 'topic'\?", 2),
    (f"fit two.csv {FAST}", r"two\.csv: both 'label' and 'topic' could be the target\. .*--target label or .*", 2),
    (f"fit two.csv --target topic --target lable {FAST}", r".*'lable' as --target says\. Did you mean 'label'\?", 2),
    (f"fit two.csv --target topic --target topic {FAST}", r"--target topic is given twice\.", 2),
    (f"fit other_columns.csv {FAST}", r"other_columns\.csv: no column looks like the target, .* with --target; .*", 2),
    (f"fit no_text.csv {FAST}", r"no_text\.csv: no column looks like one to learn from.*--column code:kind=text\.", 2),
    (
        f"fit one_class.csv --target topic {FAST}",
        r"one_class\.csv, column 'topic': every label is 'a', .*--target\.",
        2,
    ),
    (f"fit many_classes.csv --target topic {FAST}", r".*expected classes, got 120 different labels in 120 rows.*", 2),
    (
        f"fit unlabelled.csv --target label {FAST}",
        r"unlabelled\.csv: none of the 40 rows .* 40 no label in 'label'\.",
        2,
    ),
    (f"fit one_group.csv --target topic --group author {FAST}", r"one_group\.csv: all rows are one group, .*", 2),
    (f"{FIT} --group topci", r".*no column 'topci' as --group says\. Did you mean 'topic'\?", 2),
    (f"{FIT} --slice topci", r".*no column 'topci' as --slice says\. Did you mean 'topic'\?", 2),
    (f"{FIT} --ignore tilte", r".*no column 'tilte' as --ignore says\. Did you mean 'title'\?", 2),
    (f"{FIT} --column title", r"--column: expected NAME:setting=value, such as title:kind=text, got 'title'\.", 2),
    (f"{FIT} --column tilte:kind=text", r".*no column 'tilte' as --column says\. Did you mean 'title'\?", 2),
    (f"{FIT} --column title:kind=txet", r"--column title: kind 'txet' is not one of .*text\. Did you mean 'text'\?", 2),
    (
        f"{FIT} --column title:stem=patch",
        r"--column title: expected kind and nothing else for .* text, got 'stem'\.",
        2,
    ),
    (f"{FIT} --column title:kind=text --column title:kind=text", r"--column title is given twice\.", 2),
    (f"fit weights.csv --target topic --weight negtive {FAST}", r".*'negtive' as --weight says\. .*'negative'\?", 2),
    (f"fit weights.csv --target topic --weight negative {FAST}", r".* 40 no weight from 0 in 'negative'\.", 2),
    (f"fit weights.csv --target topic --weight words {FAST}", r".* 40 no weight from 0 in 'words'\.", 2),
    (f"{FIT} --target topic --weight topic", r"column 'topic' cannot be both --target and --weight\.", 2),
    # fit: kinds of answer
    (f"fit words.csv --target price --column price:kind=number {FAST}", r"words\.csv: .* 40 no number in 'price'\.", 2),
    (
        f"fit constant.csv --target price --column price:kind=number {FAST}",
        r"constant\.csv, column 'price': .* at least two different numbers, got only 3\.5\. Choose another --target\.",
        2,
    ),
    (
        f"fit prices.csv --target price --class-weights balanced {FAST}",
        r"prices\.csv, column 'price': --class-weights .* for classes; this target is a number: leave them out\.",
        2,
    ),
    (
        f"fit prices.csv --target price --set label_smoothing=0.1 {FAST}",
        r".*--set label_smoothing .* leave them out\.",
        2,
    ),
    (
        f"fit tags.csv --target tags {FAST}",
        r"tags\.csv, column 'tags': .*expected tags .*every row has x, y\. Choose another --target\.",
        2,
    ),
    # fit: bases
    (
        "fit plain.csv --base multilingual-e5-smal",
        r"--base 'multilingual-e5-smal' is neither .*'multilingual-e5-small'\?",
        2,
    ),
    ("fit plain.csv --base org/name", r"--base 'org/name': nothing .* cannot be reached\. .* give --base FOLDER\.", 2),
    ("fit plain.csv --base org/name@main", r"--base 'org/name@main': nothing .* give --base FOLDER\.", 2),
    ("fit plain.csv --base a_folder", r"a_folder: a base needs config\.json, .*; 'config\.json' is missing\.", 2),
    ("fit plain.csv --base a_file", r"--base 'a_file' is a file, not a folder: expected one of .*", 2),
    ("fit plain.csv --base pickles", r"pickles: 'pytorch_model\.bin' is refused, .* as model\.safetensors\.", 2),
    (
        "fit plain.csv --base none --size smal",
        r"--size: expected one of mini, .*, got 'smal'\. Did you mean 'small'\?",
        2,
    ),
    # fit: words and numbers
    (f"{FIT} --head maen", r"--head: expected mean or first, got 'maen'\. Did you mean 'mean'\?", 2),
    (f"{FIT} --long windwo", r"--long: expected window or truncate, got 'windwo'\. Did you mean 'window'\?", 2),
    (f"{FIT} --trim-vocab of", r"--trim-vocab: expected auto or off, got 'of'\. Did you mean 'off'\?", 2),
    (f"{FIT} --class-weights balancd", r"--class-weights: .*, got 'balancd'\. Did you mean 'balanced'\?", 2),
    (f"{FIT} --precision fp23", r"--precision: expected auto, fp32 or bf16, got 'fp23'\. Did you mean 'fp32'\?", 2),
    (f"{FIT} --device cdua", r"--device: expected auto, cpu or cuda, got 'cdua'\. Did you mean 'cuda'\?", 2),
    (f"{FIT} --device meta", r"--device: expected auto, cpu or cuda, got 'meta'\.", 2),
    (f"{FIT} --lang zz", r"--lang: expected en or zh, got 'zz'\.", 2),
    (f"{FIT} --batch-size 0", r"--batch-size: expected 1 to 65536, got 0\.", 2),
    (f"{FIT} --lr 0", r"--lr: expected 1e-09 to 10, got 0\.0\.", 2),
    (f"{FIT} --seed -1", r"--seed: expected 0 to .*, got -1\.", 2),
    ("fit plain.csv --epochs 0", r"--epochs: expected 1 to 10000, got 0\.", 2),
    ("fit plain.csv --threads 0", r"--threads: expected 1 to 4096, got 0\.", 2),
    (f"{FIT} --time-limit abc", r"--time-limit: expected a time such as 90s, 20m or 2h, got 'abc'\.", 2),
    (f"{FIT} --set patince=3", r"--set: there is no setting 'patince'\. Did you mean 'patience'\? .*", 2),
    (f"{FIT} --set patience", r"--set: expected NAME=VALUE, got 'patience'\. 'zaowu fit --settings' lists them\.", 2),
    (f"{FIT} --set patience=many", r"--set patience: expected a whole number, got 'many'\.", 2),
    (f"{FIT} --set clip=0", r"--set clip: expected 1e-06 to 1e\+06, got 0\.0\.", 2),
    # fit: --like takes all choices from a run, so none may stand beside it
    ("fit plain.csv --like a_folder", r"a_folder: expected the folder of a run, found no zaowu\.json in it\.", 2),
    (
        "fit plain.csv --like runs/nwes",
        r"runs/nwes: expected the folder of a run, found nothing\. Did you mean 'news'\?",
        2,
    ),
    ("fit plain.csv --like RUN --target topic", r"--target cannot be given beside --like, .*: leave out one .*", 2),
    ("fit plain.csv --like RUN --column title:kind=text", r"--column cannot be given beside --like, .*", 2),
    ("fit plain.csv --like RUN --slice topic", r"--slice cannot be given beside --like, .*", 2),
    ("fit plain.csv --like RUN --test two.csv", r"--test cannot be given beside --like, .*", 2),
    ("fit plain.csv --like RUN --base none", r"--base cannot be given beside --like, .*", 2),
    ("fit plain.csv --like RUN --head first", r"--head cannot be given beside --like, .*", 2),
    ("fit plain.csv --like RUN --lr 1e-3", r"--lr cannot be given beside --like, .*", 2),
    ("fit plain.csv --like RUN --seed 7", r"--seed cannot be given beside --like, .*", 2),
    ("fit plain.csv --like RUN --set max_tokens=64", r"--set max_tokens cannot be given beside --like, .*", 2),
    ("fit plain.csv --like RUN --device cdua --threads 1", r"--device: expected auto, cpu or cuda, got 'cdua'\. .*", 2),
    # fit: places
    (f"{FIT} --out a_file", r"a_file: expected a folder for the run, found a file\. .*--out\.", 2),
    (f"{FIT} --out a_file/run", r"a_file/run: cannot be written \(Not a directory\)\. .*--out\.", 2),
    (f"{FIT} --out /proc/zaowu/run", r"/proc/zaowu/run: cannot be written .*--out\.", 2),
    (f"{FIT} --out a_folder", r"a_folder: something that is no run stands here already\. .*--out\.", 2),
    (f"{FIT} --out a_folder --overwrite", r"a_folder: --overwrite replaces runs only, .*--out\.", 2),
    (f"{FIT} --out runs/news", r"runs/news: a run stands here already\. Pass --overwrite .*", 2),
    # predict
    ("predict RUN", r"Missing argument .* See 'zaowu predict --help'\.", 2),
    ("predict news 一句话", r"news: expected the folder of a run, found nothing\. Did you mean 'runs/news'\?", 2),
    ("predict a_file 一句话", r"a_file: expected the folder of a run, found a file\.", 2),
    ("predict runs/cut 一句话", r"runs/cut/zaowu\.json: cannot be read as JSON .*", 2),
    ("predict RUN other_columns.csv", r"other_columns\.csv: expected the column 'text' .*, got name, place, size\.", 2),
    ("predict RUN text.csv", r"text\.csv: there is no such file\. Did you mean 'texts\.csv'\?", 2),
    ("predict RUN empty.csv", r"empty\.csv: the file is empty\.", 2),
    ("predict RUN 'book.xlsx#Shet'", r"book\.xlsx: there is no sheet 'Shet'\. Did you mean 'Sheet'\?", 2),
    ("predict RUN plain.csv two.csv", r"'plain\.csv' is a file: give one file, or pass --text .*", 2),
    ("predict RUN 一句话 --tpo 2", r"No such option: --tpo\. Did you mean '--top'\? .*", 2),
    ("predict RUN 一句话 --top 0", r"--top: expected 1 or more, got 0\.", 2),
    ("predict RUN 一句话 --top two", r"--top: expected a whole number, got 'two'\. .*", 2),
    ("predict RUN 一句话 --threads 0", r"--threads: expected 1 or more, got 0\.", 2),
    ("predict RUN 一句话 --out answers.txt", r"--out answers\.txt: expected a name that ends in \.csv, .*", 2),
    ("predict RUN 一句话 --out no/answers.csv", r"--out no/answers\.csv: there is no folder no\.", 2),
    ("predict RUN 一句话 --out a_file/answers.csv", r"--out a_file/answers\.csv: there is no folder a_file\.", 2),
    ("predict RUN 一句话 --out /proc/answers.csv", r"/proc/answers\.csv: cannot be written .*--out\.", 2),
    # evaluate
    ("evaluate RUN", r"Missing argument .* See 'zaowu evaluate --help'\.", 2),
    ("evaluate RUN text.csv", r"text\.csv: there is no such file\. Did you mean 'texts\.csv'\?", 2),
    ("evaluate RUN texts.csv", r"texts\.csv: expected the column 'label' with the true labels, got text\.", 2),
    (
        "evaluate RUN unlabelled.csv",
        r"unlabelled\.csv: none of the 40 rows can be used: .* 40 no label in 'label'\.",
        2,
    ),
    ("evaluate PRICES words.csv", r"words\.csv: none of the 40 rows can be used: .* 40 no number in 'price'\.", 2),
    ("evaluate RUN ragged.csv", r"ragged\.csv, row 42: expected 2 fields, got 4\. .*--on-bad-row skip\.", 2),
    ("evaluate RUN plain.csv --on-bad-row drop", r"--on-bad-row: expected stop or skip, got 'drop'\.", 2),
    ("evaluate RUN plain.csv --jsn", r"No such option: --jsn\. Did you mean '--json'\? .*", 2),
    # compare
    ("compare", r"Missing argument .* See 'zaowu compare --help'\.", 2),
    ("compare RUN", r"compare: expected at least two runs, such as 'zaowu compare runs/a runs/b'\.", 2),
    ("compare RUN PRICES", r"compare: expected runs that answer the same column, got .*: label; .*: price\.", 2),
    ("compare RUN nowhere", r"nowhere: expected the folder of a run, found nothing\.", 2),
    ("compare RUN RUN --data plian.csv", r"plian\.csv: there is no such file\. Did you mean 'plain\.csv'\?", 2),
    ("compare RUN RUN --data texts.csv", r"texts\.csv: there is no column 'label', the target\. .*", 2),
    ("compare RUN RUN --dta texts.csv", r"No such option: --dta\. Did you mean '--data'\? .*", 2),
    ("compare RUN RUN --on-bad-row skp", r"--on-bad-row: expected stop or skip, got 'skp'\. Did you mean 'skip'\?", 2),
    ("compare RUN RUN --out no/page.html", r"--out no/page\.html: there is no folder no\.", 2),
    ("compare RUN RUN --out a_folder", r"--out a_folder: expected the name of a page, .*, found a folder\.", 2),
    ("compare RUN RUN --lang zz", r"--lang: expected en or zh, got 'zz'\.", 2),
    # check
    ("check", r"Missing argument .* See 'zaowu check --help'\.", 2),
    ("check plian.csv --quiet", r"plian\.csv: there is no such file\. Did you mean 'plain\.csv'\?", 2),
    ("check plain.csv --target topci --quiet", r".*no column 'topci' as --target says\. Did you mean 'topic'\?", 2),
    ("check two.csv --quiet", r"two\.csv: both 'label' and 'topic' could be the target\. .*", 2),
    ("check plain.csv --column title:kind=txet --quiet", r"--column title: kind 'txet' .* Did you mean 'text'\?", 2),
    ("check plain.csv --test other_columns.csv --quiet", r"other_columns\.csv: there is no column 'title', .*", 2),
    ("check plain.csv --qiet", r"No such option: --qiet\. Did you mean '--quiet'\? See 'zaowu check --help'\.", 2),
    # report
    ("report", r"Missing argument .* See 'zaowu report --help'\.", 2),
    ("report runs/nwes", r"runs/nwes: expected the folder of a run, found nothing\. Did you mean 'news'\?", 2),
    ("report RUN --lang zz", r"--lang: expected en or zh, got 'zz'\.", 2),
    ("report RUN --out no/page.html", r"--out no/page\.html: there is no folder no\.", 2),
    ("report RUN --out a_folder", r"--out a_folder: expected the name of a page, .*, found a folder\.", 2),
    ("report RUN --out /proc/page.html", r"/proc/page\.html: the report could not be written .*", 2),
    # demo
    ("demo --overwrit", r"No such option: --overwrit\. Did you mean '--overwrite'\? .*", 2),
    ("demo --threads 0", r"--threads: expected 1 to 4096, got 0\.", 2),
    ("demo --lang zz", r"--lang: expected en or zh, got 'zz'\.", 2),
    ("demo --out a_file/run", r"a_file/run: cannot be written \(Not a directory\)\. .*--out\.", 2),
    # bases
    ("bases --jsn", r"No such option: --jsn\. Did you mean '--json'\? .*", 2),
    ("bases fetsh minilm-l6-en", r"No such command 'fetsh'\. Did you mean 'fetch'\? See 'zaowu bases --help'\.", 2),
    ("bases fetch", r"Missing argument .* See 'zaowu bases fetch --help'\.", 2),
    ("bases fetch minilm-l6", r"'minilm-l6' is not a base that can be fetched: .* Did you mean 'minilm-l6-en'\?", 2),
    ("generate", r"Missing argument.*", 2),
    ("generate a_folder text", r"a_folder: expected a folder with config\.json, .* found no config\.json\. .*", 2),
    ("generate a_folder text --beams 10000", r"--beams: expected a number from 1 to 64, got 10,000\.", 2),
    ("generate a_folder text --temperature -1", r"--temperature: expected a number from 0 to 100, got -1\.0\.", 2),
    ("generate a_folder text --max-tokens many", r"--max-tokens: expected a whole number, got 'many'\. .*", 2),
    ("bases fetch org/name", r"'org/name' is not a base that can be fetched: .* are\.", 2),
]


@pytest.fixture(scope="module")
def desk(tiny_run, tmp_path_factory) -> tuple[Path, dict[str, Path]]:
    """A folder with `FILES`, a workbook, an archive and two runs, one of them cut short; and the runs elsewhere."""
    place = tmp_path_factory.mktemp("desk")
    for name, content in FILES.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(content, "utf-8")
    book = openpyxl.Workbook()
    for line in FILES["plain.csv"].splitlines():
        book.active.append(line.split(","))
    book.save(place / "book.xlsx")
    with zipfile.ZipFile(place / "pack.zip", "w") as archive:
        archive.write(place / "plain.csv", "plain.csv")
    shutil.copytree(tiny_run, place / "runs" / "news")
    cut = shutil.copytree(tiny_run, place / "runs" / "cut") / "zaowu.json"
    cut.write_text(cut.read_text("utf-8")[:200], "utf-8")
    prices = tmp_path_factory.mktemp("runs") / "prices"
    file, small = str(place / "prices.csv"), {"base": "none", "size": "mini", "epochs": 1, "threads": 1, "quiet": True}
    zaowu.fit(file, target="price", test=file, out=prices, settings={"num_pieces": 300}, **small)
    return place, {"RUN": tiny_run, "PRICES": prices}


@pytest.mark.parametrize(("typed", "sentence", "code"), TABLE, ids=[typed for typed, _, _ in TABLE])
def test_what_is_said(command, desk, monkeypatch, typed, sentence, code):
    place, runs = desk
    monkeypatch.chdir(place)
    before = _everything(place, *runs.values())
    ended = command(*(runs.get(word, word) for word in shlex.split(typed)))
    assert ended.code == code, ended
    said = ended.err.strip()
    assert re.fullmatch(sentence, said, re.DOTALL), said
    assert len(said) <= LONGEST and len(said.splitlines()) <= 2
    assert not ended.out and "Traceback" not in said and "This is a bug" not in said
    assert _everything(place, *runs.values()) == before


def _everything(*folders: Path) -> list:
    """All files with their content, and all folders, the empty ones too."""
    return [(snapshot(folder), sorted(folder.rglob("*"))) for folder in folders]


def test_every_verb_stands_in_the_table():
    from zaowu.cli import app

    verbs = set(typer.main.get_command(app).commands)
    assert len(TABLE) >= 60 and len({typed for typed, _, _ in TABLE}) == len(TABLE)
    assert verbs == {typed.split()[0] for typed, _, _ in TABLE} & verbs
    assert "minilm-l6-en" in CATALOGUE  # or the hints above would be of nothing


def test_a_name_alone_shows_the_help_and_nothing_else(command):
    ended = command()
    assert ended.code == 2 and "Usage: zaowu" in ended.out + ended.err and "See 'zaowu --help'" not in ended.err
