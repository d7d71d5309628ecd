"""Values written as Python code, read without executing it.

mmengine stores the text of a config in its checkpoints: assignments of numbers, strings, lists, tuples and
``dict(...)``. Only these are read.
"""

import ast


def assigned_values(text: str) -> dict:
    """The values that a text assigns to names.

    Raises:
        SyntaxError: It does something else in a line, or is no Python; its ``lineno`` says where.
        ValueError, TypeError, RecursionError, MemoryError: As :mod:`ast` raises them for text that cannot be parsed.
    """
    values = {}
    for statement in ast.parse(text).body:
        if not _assigns(statement):
            raise _refused(statement)
        values[statement.targets[0].id] = plain_value(statement.value)  # type: ignore[attr-defined]
    return values


def only_values(text: str) -> str:
    """The same text without what is more than an assignment of values, so that executing it does nothing else.

    ``_base_`` and ``custom_imports`` are left out as well: they have mmengine read and import other files.
    """
    kept = []
    try:
        for statement in ast.parse(text).body:
            try:
                (name,) = assigned_values(ast.unparse(statement))
            except (SyntaxError, ValueError, TypeError):
                continue
            if name not in ('dict', '_base_', 'custom_imports'):
                kept.append(ast.unparse(statement))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return ''
    return '\n'.join(kept) + '\n'


def _assigns(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Assign) and len(statement.targets) == 1 and isinstance(statement.targets[0], ast.Name)
    )


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
