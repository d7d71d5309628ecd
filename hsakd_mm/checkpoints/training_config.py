"""Read the config inside a training checkpoint without executing it.

mmengine stores ``Config.pretty_text`` in ``meta['cfg']``: Python code, which ``Config.fromstring``
would execute. Weights are read with ``weights_only``, so that a checkpoint from the internet cannot
run code; neither can its config here. mmengine writes assignments of plain values (numbers, strings,
lists, tuples, ``dict(...)``), and only these are read.
"""

import ast
from collections.abc import Mapping

from hsakd_mm.errors import UserError


def has_config(content: Mapping) -> bool:
    """Whether a checkpoint's content has a config."""
    return bool(_text(content).strip())


def training_config(content: Mapping, source: str) -> dict:
    """The config inside a training checkpoint.

    Args:
        content (Mapping): The result of :func:`~hsakd_mm.checkpoints.loading.load_checkpoint`.
        source (str): Its file, for the errors.

    Raises:
        UserError: There is none, so tools/train.py did not write the checkpoint; or it holds more
            than plain values.
    """
    if not has_config(content):
        raise UserError(
            f'a training checkpoint was expected at {source}, and the file holds '
            f'weights without the config they were trained with: name a checkpoint '
            f'that tools/train.py wrote.'
        )
    try:
        return _assigned(ast.parse(_text(content)))
    # ValueError: null bytes; TypeError: unhashable keys; the last two: nested too deeply.
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        number = getattr(error, 'lineno', None)
        line = f'line {number}' if number else 'one'
        raise UserError(
            f'the config inside {source} was expected to hold plain values, as '
            f'mmengine writes them, and {line} does not ({error}): it is not '
            f'executed; if you need only the weights, save its state_dict as a file.'
        ) from error


def _text(content: Mapping) -> str:
    meta = content.get('meta')
    meta = meta if isinstance(meta, Mapping) else {}
    # mmengine writes `cfg`, OpenMMLab's projects before it `config`.
    return next((meta[key] for key in ('cfg', 'config') if isinstance(meta.get(key), str)), '')


def _assigned(module: ast.Module) -> dict:
    values = {}
    for statement in module.body:
        if not (
            isinstance(statement, ast.Assign)
            and len(statement.targets) == 1
            and isinstance(statement.targets[0], ast.Name)
        ):
            raise _refused(statement)
        values[statement.targets[0].id] = plain_value(statement.value)
    return values


def plain_value(node: ast.expr):
    """The value of an expression of numbers, strings, lists, tuples, sets and ``dict(...)``; nothing is executed.

    Raises:
        SyntaxError: It holds something else, such as a name or a call.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            value = plain_value(operand)
            if isinstance(value, int | float):
                return -value
        case ast.List():
            return [plain_value(each) for each in node.elts]
        case ast.Tuple():
            return tuple(plain_value(each) for each in node.elts)
        case ast.Set():
            return {plain_value(each) for each in node.elts}
        case ast.Dict() if None not in node.keys:
            keys = (plain_value(key) for key in node.keys if key is not None)
            return dict(zip(keys, map(plain_value, node.values)))
        case ast.Call(func=ast.Name('dict'), args=args):
            if (
                len(args) < 2
                and all(isinstance(each, ast.Dict) for each in args)
                and all(each.arg for each in node.keywords)
            ):
                return dict(
                    *map(plain_value, args), **{str(each.arg): plain_value(each.value) for each in node.keywords}
                )
        case ast.Call(func=ast.Name('range'), args=args, keywords=[]):  # `gpu_ids` of old configs
            if 0 < len(args) < 4 and all(isinstance(each, ast.Constant | ast.UnaryOp) for each in args):
                return range(*map(plain_value, args))
        case ast.Name('inf' | 'nan'):  # as str() writes these floats
            return float(node.id)
    raise _refused(node)


def _refused(node: ast.stmt | ast.expr) -> SyntaxError:
    error = SyntaxError(ast.unparse(node).splitlines()[0][:80])
    error.lineno = node.lineno
    return error
