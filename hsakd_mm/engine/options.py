"""``--cfg-options KEY=VALUE``: values as in a config, without executing code."""

import ast

from mmengine.config import DictAction

from hsakd_mm.literals import plain_value

_CLOSING = {'(': ')', '[': ']', '{': '}'}
_QUOTES = '\'"'


class Options(DictAction):
    """argparse's action for ``--cfg-options KEY=VALUE ...``; :func:`parse_value` reads the values."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        options = dict(getattr(namespace, self.dest, None) or {})
        for pair in values:
            key, equals, text = pair.partition('=')
            if not equals or not key.strip():
                parser.error(f'{option_string} takes KEY=VALUE, and {pair!r} is none: quote a value with blanks.')
            try:
                options[key.strip()] = parse_value(text)
            except ValueError as error:
                parser.error(f'{option_string} {key} expects a value as in a config, and {error}.')
        setattr(namespace, self.dest, options)


def parse_value(text: str):
    """The value that ``text`` stands for.

    mmengine's forms are kept: numbers, ``true``, ``None``, ``a,b`` and ``[a,(b,c)]`` without quotes. Besides,
    everything that a config's line can assign: ``dict(type='A', size=2)``, ``{'a': 1}``, ``[dict(...), dict(...)]``.
    Blanks inside a name are kept, and a text in quotes is one string, with its commas.

    Raises:
        ValueError: Brackets or quotes are not closed, or ``dict(...)`` holds something that is no plain value.

    Example:
        >>> parse_value('0.1'), parse_value('my data/train'), parse_value('1,[a b,c]')
        (0.1, 'my data/train', [1, ['a b', 'c']])
        >>> parse_value("[dict(type='A'), None]")
        [{'type': 'A'}, None]
    """
    text = text.strip()
    try:
        parts = _split(text)
    except ValueError:
        if ',' in text or _is_literal(text):
            raise
        return text  # a name with a bracket in it
    return _value(text) if len(parts) < 2 else [_value(part) for part in parts]


def _is_literal(text: str) -> bool:
    return text.startswith((*_CLOSING, *_QUOTES, 'dict('))


def _value(text: str):
    text = text.strip()
    if not _is_literal(text):
        return DictAction._parse_int_float_bool(text)
    try:
        value = plain_value(ast.parse(text, mode='eval').body)
        return (value,) if text[0] == '(' and not isinstance(value, tuple) else value  # as in mmengine
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        if text[0] not in '([' or text[-1] != _CLOSING[text[0]]:
            raise ValueError(f'{text!r} is no value ({getattr(error, "msg", error)})') from error
    items = [_value(part) for part in _split(text[1:-1]) if part.strip()]  # a list of names without quotes
    return tuple(items) if text[0] == '(' else items


def _split(text: str) -> list[str]:
    """Split at the commas that are in no brackets and no quotes; a comma at the end adds nothing.

    A quote opens a string only at the beginning of an item, so that ``o'clock`` is a name.
    """
    parts, start, closing, quote = [], 0, [], ''
    for place, sign in enumerate(text):
        if quote:
            quote = '' if sign == quote and text[place - 1] != '\\' else quote
        elif sign in _QUOTES and text[:place].rstrip()[-1:] in ('', ',', '(', '[', '{', '=', ':'):
            quote = sign
        elif sign in _CLOSING:
            closing.append(_CLOSING[sign])
        elif sign in _CLOSING.values():
            if not closing or closing.pop() != sign:
                raise ValueError(f'the brackets in {text!r} do not match')
        elif sign == ',' and not closing:
            parts.append(text[start:place])
            start = place + 1
    if closing or quote:
        raise ValueError(f'{text!r} lacks a closing {quote or closing[-1]}')
    return parts + [text[start:]] * bool(text[start:].strip() or not parts)
