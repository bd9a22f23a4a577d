"""From a typed dataclass to a command: parse, run, one sentence for a user's mistake, an exit code."""

import contextlib
import dataclasses
import inspect
import io
import json
import math
import os
import re
import shlex
import shutil
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from emocore.errors import TooManyFailures, UserError, plain, said_to_user

Options = TypeVar("Options")

_RULE = re.compile(r"[─-]{5}")  # as tyro draws it, with or without Unicode

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")
_WIDEST = 100  # columns of a help page
_NO_DEFAULT = re.compile(r"\s*\(default: (None|False)?\)$")  # which the text says in words
_WORDS = (
    (r"\{None\}\||\|\{None\}", ""),
    (r"\{None,", "{"),
    (r"\b(INT|FLOAT)\b", "NUMBER"),
    (r"\bSTR\b", "TEXT"),
    (r"\[(\w+) \[\1 \.\.\.\]\]", r"\1 …"),
)

EXIT_WRONG_INPUT = 2
EXIT_TOO_MANY_FAILURES = 3
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run_job(options_class: type[Options], job: Callable[[Options], None]) -> None:
    """Parse the command line into `options_class`, call the job, and exit: 0, 2 (UserError) or 3 (TooManyFailures)."""
    try:
        job(parse(options_class, sys.argv[1:]))
    except UserError as error:
        _stop(str(said_to_user(error, None) or error), EXIT_WRONG_INPUT)
    except TooManyFailures as error:
        _stop(str(error), EXIT_TOO_MANY_FAILURES)
    except KeyboardInterrupt:
        _stop("Interrupted: the same command goes on from what is finished.", EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        said = said_to_user(error, None)  # a full disk that somebody else's code met
        if said is None:
            raise
        _stop(str(said), EXIT_WRONG_INPUT)


def parse(options_class: type[Options], arguments: Sequence[str]) -> Options:
    """Return the options; `--config FILE` takes those of an earlier run as defaults.

    Raises UserError, in one sentence, for anything that the command line has wrong; SystemExit(0) after `--help`.
    """
    rest, config = _take_config(list(arguments))
    options = _parse(options_class, rest, _from_config(options_class, config) if config else None)
    _check_local(options)
    return options


def _parse(options_class: type[Options], arguments: list[str], defaults: Options | None) -> Options:
    messages, page = io.StringIO(), io.StringIO()
    width = shutil.get_terminal_size().columns
    try:
        with contextlib.redirect_stderr(messages), contextlib.redirect_stdout(page), _unwrapped():
            options: Options = tyro.cli(
                options_class,
                args=arguments,
                description=_description(options_class),
                default=tyro.MISSING_NONPROP if defaults is None else defaults,
            )
            return options
    except SystemExit as error:
        if error.code == 0:
            print(_help_page(page.getvalue(), min(width, _WIDEST)))  # noqa: T201 - what --help is for
            raise
        raise UserError(_one_sentence(messages.getvalue())) from None


def options_to_json(options: Any, leave_out: Sequence[str] = (), paths: Sequence[str] = ()) -> dict[str, Any]:
    """Return the options as JSON values, without those that do not decide the result.

    `paths` are made absolute, so that `--config` repeats the run from any folder.
    """
    values = {name: value for name, value in dataclasses.asdict(options).items() if name not in leave_out}
    for name in paths:
        value = values[name]
        values[name] = _absolute(value) if isinstance(value, str) else [_absolute(path) for path in value]
    return values


def command_line(job: str, options: Any) -> str:
    """Return the command that gives these options, without those that are as they are unless given."""
    given = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            given[field.name] = list(value) if isinstance(value, tuple) else value
    return shlex.join([job, *_as_typed(type(options), given)])


def _absolute(path: str) -> str:
    return os.path.abspath(path) if Path(path).exists() else path  # noqa: PTH100 - resolve() would follow links


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Raise UserError unless the value is one of the known ones.

    >>> check_choice("--model", "svc", ["svc", "mlp"])
    """
    if value not in known:
        raise UserError(f"{name} {value!r} is unknown: choose one of {', '.join(known)}.")


def check_positive(name: str, value: float) -> None:
    """Raise UserError unless the value is finite and above zero."""
    if not 0 < value < math.inf:
        raise UserError(f"{name} must be above 0: got {value}.")


def check_seed(seed: int) -> None:
    """Raise UserError unless every library takes the seed."""
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed must be from 0 to {2**32 - 1}: got {seed}.")


def check_max_failures(limit: int | None) -> None:
    """Raise UserError unless the limit is a number of files."""
    if limit is not None and limit < 0:
        raise UserError(f"--max-failures must be 0 or more: got {limit}.")


def _description(options_class: type[Any]) -> str:
    return (
        f"{inspect.cleandoc(options_class.__doc__ or '')}\n\n"
        "--config FILE takes the options of an earlier run's config.json; options given beside it win."
    )


def _check_local(options: Any) -> None:
    """Raise UserError for a URL in the place of any path or name."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for text in value if isinstance(value, tuple) else (value,):
            if isinstance(text, str) and _URL.match(text):
                raise UserError(f"{text!r} is a URL and this version reads local paths only: copy or mount it first.")


def _stop(sentence: str, code: int) -> None:
    print(plain(sentence), file=sys.stderr)  # noqa: T201 - the one place that speaks to the user about mistakes
    sys.exit(code)


def _take_config(arguments: list[str]) -> tuple[list[str], str | None]:
    for i, argument in enumerate(arguments):
        if argument == "--config":
            if i + 1 == len(arguments):
                raise UserError("--config needs a file: the config.json of an earlier run.")
            return arguments[:i] + arguments[i + 2 :], arguments[i + 1]
        if argument.startswith("--config="):
            return arguments[:i] + arguments[i + 1 :], argument.removeprefix("--config=")
    return arguments, None


def _from_config(options_class: type[Options], file: str) -> Options:
    """Return the saved options, parsed as if they had been typed; what the run was not told stays missing."""
    try:
        saved = dict(json.loads(Path(file).read_text())["options"])
    except OSError as error:
        raise UserError(
            f"--config {file} cannot be read ({error.strerror}): name an earlier run's config.json."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"--config {file} is not a config.json that emocore wrote.") from error
    fields = {field.name: field for field in dataclasses.fields(options_class)}  # type: ignore[arg-type] # a class of fields
    unknown = sorted(set(saved) - set(fields))
    if unknown:
        raise UserError(f"--config {file} has the option {unknown[0]!r}, which this command does not have.")
    required = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    missing = {name: "-" for name in required if name not in saved}
    try:
        options = _parse(options_class, _as_typed(options_class, {**saved, **missing}), None)
    except UserError as error:
        raise UserError(f"--config {file} holds a wrong value: {error}") from error
    return dataclasses.replace(options, **dict.fromkeys(missing, tyro.MISSING))  # type: ignore[type-var] # as above


def _as_typed(options_class: type[Any], values: dict[str, Any]) -> list[str]:
    """Return the arguments that give these values; a positional option comes first."""
    hints = typing.get_type_hints(options_class, include_extras=True)
    positional: list[str] = []
    named: list[str] = []
    for name, value in values.items():
        if value is None or value == []:
            continue
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            named.append(flag if value else flag.replace("--", "--no-", 1))
            continue
        texts = [str(item) for item in value] if isinstance(value, list) else [str(value)]
        if tyro.conf.Positional in getattr(hints[name], "__metadata__", ()):
            positional += texts
        else:
            named += [flag, *texts]
    return [*positional, *named]


def _one_sentence(box: str) -> str:
    """Return what tyro says in a box: a title with a rule in or below it, the message, a rule, and hints."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip(" │|") for line in plain.splitlines()]
    rules = [*(i for i, line in enumerate(lines) if _RULE.search(line)), len(lines), len(lines)]
    message = " ".join(line for line in lines[rules[0] + 1 : rules[1]] if line).rstrip(".")
    options = [line.split(" ")[0] for line in lines if line.startswith("--") and not _RULE.search(line)]
    if message.startswith("Missing from"):
        required, _, unknown = message.partition("Unrecognized")
        message = f"Missing, and required: {', '.join(re.findall(r'--[a-z-]+', required))}"
        message += f"; unrecognized{unknown}" if unknown else ""
    elif message.startswith("Unrecognized") and options:
        message += f"; perhaps you meant {options[0]}"
    return f"{message or 'Wrong options'}: see --help for every option."


@contextlib.contextmanager
def _unwrapped() -> Iterator[None]:
    """Have tyro put each text on as few lines as it may; it reads the width of the terminal where it writes."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "3000"
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


def _help_page(drawn: str, width: int) -> str:
    """Return tyro's help as paragraphs of this width, and options in words.

    tyro writes to a stream without an encoding: titles with a rule below, options that are indented a little, and
    what they mean beside or below them, far to the right.
    """
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", drawn).splitlines()]
    rules = [i for i, line in enumerate(lines) if _RULE.search(line) and not line.strip(" ─-")]
    paragraphs = re.split(r"\n\s*\n", "\n".join(lines[: rules[0] - 1] if rules else lines).strip())
    parts = [textwrap.fill(" ".join(paragraph.split()), width) for paragraph in paragraphs]
    parts[0] = _in_words(parts[0])  # how it is used
    for rule, end in zip(rules, [*(rule - 1 for rule in rules[1:]), len(lines)], strict=True):
        options: list[str] = []
        for line in filter(None, lines[rule + 1 : end]):
            if options and line.startswith(" " * 4):
                options[-1] += ("  " if "  " not in options[-1] else " ") + line.strip()
            else:
                options.append(re.sub(r" {2,}", "  ", line.strip()))
        parts.append("\n".join([f"{lines[rule - 1].strip()}:", *(_option(text, width) for text in options)]))
    return "\n\n".join(parts)


def _option(text: str, width: int) -> str:
    """Return an option, and what it is for, under each other."""
    typed, _, meaning = text.partition("  ")
    space = " " * 6
    told = textwrap.wrap(_NO_DEFAULT.sub("", meaning), width, initial_indent=space, subsequent_indent=space)
    return "\n".join([f"  {_in_words(typed)}", *told])


def _in_words(typed: str) -> str:
    """Return what is to be typed as people say it.

    >>> _in_words("--every {None}|INT"), _in_words("--combine {None,mean-log,vote}"), _in_words("--f [STR [STR ...]]")
    ('--every NUMBER', '--combine mean-log|vote', '--f TEXT …')
    """
    for pattern, words in _WORDS:
        typed = re.sub(pattern, words, typed)
    return re.sub(r"\{(.+?)\}", lambda found: found[1].replace(",", "|"), typed)
