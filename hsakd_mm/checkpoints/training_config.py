"""The config that a training checkpoint carries, read without being run.

mmengine keeps ``Config.pretty_text`` in ``meta['cfg']``: Python, which ``Config.fromstring`` executes.
The weights beside it are read with ``weights_only``, so that a stranger's checkpoint is data and not
a program; this keeps it so. What mmengine writes is names with values (numbers, strings, lists,
tuples, ``dict(...)``), and nothing else is read.
"""

import ast
from collections.abc import Mapping

from hsakd_mm.errors import UserError


def has_config(content: Mapping) -> bool:
    """Whether a checkpoint's content has a config."""
    text = (content.get('meta') or {}).get('cfg')
    return isinstance(text, str) and bool(text.strip())


def training_config(content: Mapping, source: str) -> dict:
    """The config that a training checkpoint carries.

    Args:
        content (Mapping): What :func:`~hsakd_mm.checkpoints.loading.load_checkpoint` returned.
        source (str): Its file, for the errors.

    Raises:
        UserError: It carries none, so it was not written by our training; or what it carries is
            more than values.
    """
    if not has_config(content):
        raise UserError(
            f'a training checkpoint was expected at {source}, and the file holds '
            f'weights without the config they were trained with: name a checkpoint '
            f'that tools/train.py wrote.'
        )
    try:
        return _assigned(ast.parse(content['meta']['cfg']))
    # ValueError is of nulls, TypeError of odd keys, the last two of what is nested without end.
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        number = getattr(error, 'lineno', None)
        line = f'line {number}' if number else 'one'
        raise UserError(
            f'the config inside {source} was expected to hold plain values, as '
            f'mmengine writes them, and {line} does not ({error}): it is not '
            f'executed; where the weights alone will do, save its state_dict as a '
            f'file.'
        ) from error


def _assigned(module: ast.Module) -> dict:
    values = {}
    for statement in module.body:
        if not (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)
        ):
            raise _refused(statement)
        values[statement.targets[0].id] = _value(statement.value)
    return values


def _value(node: ast.expr):
    match node:
        case ast.Constant():
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = _value(operand)
            if isinstance(value, int | float):
                return -value
        case ast.List():
            return [_value(each) for each in node.elts]
        case ast.Tuple():
            return tuple(_value(each) for each in node.elts)
        case ast.Set():
            return {_value(each) for each in node.elts}
        case ast.Dict() if None not in node.keys:
            keys = (_value(key) for key in node.keys if key is not None)
            return dict(zip(keys, map(_value, node.values)))
        case ast.Call(func=ast.Name('dict'), args=args):
            if (
                len(args) < 2
                and all(isinstance(each, ast.Dict) for each in args)
                and all(each.arg for each in node.keywords)
            ):
                return dict(*map(_value, args), **{str(each.arg): _value(each.value) for each in node.keywords})
        case ast.Name('inf' | 'nan'):  # as str() writes these floats
            return float(node.id)
    raise _refused(node)


def _refused(node: ast.stmt | ast.expr) -> SyntaxError:
    error = SyntaxError(ast.unparse(node).splitlines()[0][:80])
    error.lineno = node.lineno
    return error
