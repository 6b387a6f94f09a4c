"""Where Redshift means something else by the same words than Athena, and what is written for it instead.

Belongs here: the differences that sqlglot does not see to itself. Doesn't: which functions are portable (portable.py).
"""

from __future__ import annotations

from sqlglot import exp

LONGEST_TEXT = 65_535
"""Bytes of the longest text. A varchar of no length is one of 256 bytes, to which a cast cuts a text without a word."""
_DATE = exp.DataType.Type.DATE


def as_redshift_means(tree: exp.Query) -> exp.Query:
    """A qualified and typed query, written so that Redshift gives what Athena would."""
    # The types of what is inside a node are looked at while it still stands where it was annotated.
    for node in list(tree.find_all(exp.Avg, exp.Greatest, exp.Least, exp.DateTrunc, exp.TimestampTrunc, exp.DateAdd)):
        if isinstance(node, exp.Avg):
            _average(node)
        elif isinstance(node, (exp.Greatest, exp.Least)):
            _of_all(node)
        elif node.this.is_type(_DATE):  # the others make a timestamp of a date
            node.replace(exp.cast(node.copy(), _DATE))
    for kind in tree.find_all(exp.DataType):
        if kind.this in (exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT) and not kind.expressions:
            kind.replace(exp.DataType.build(f"varchar({LONGEST_TEXT})"))
    return tree


def _average(node: exp.Avg) -> None:
    """The average of whole numbers is a whole number there, with its fraction cut off."""
    if node.this.is_type(*exp.DataType.INTEGER_TYPES):
        node.set("this", exp.cast(node.this.copy(), exp.DataType.Type.DOUBLE))


def _of_all(node: exp.Greatest | exp.Least) -> None:
    """The greatest or least of several is NULL if one of them is; there, NULLs are passed over."""
    given = [node.this, *node.expressions]
    unknown = exp.or_(*(each.copy().is_(exp.null()) for each in given))
    node.replace(exp.Case(ifs=[exp.If(this=unknown, true=exp.null())], default=node.copy()))
