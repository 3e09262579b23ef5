"""The plan language: files, YAML with positions, the header, variables, mistakes, loading, export, and plan tests.

What a plan means for one kind of object belongs to its type in `resources`; what it changes in a tenant to `changes`.
"""
