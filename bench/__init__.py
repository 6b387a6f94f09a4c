"""The benchmark: the reorder chain against hand-written scripts that do the same work with one tool each.

Belongs here: the contenders, how they are measured and compared. Doesn't: anything the platform needs to run; nothing in
`instacart_pipeline` imports this package, and the benchmark uses the platform through its command line only.
"""
