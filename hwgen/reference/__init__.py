"""Runtimes from outside that run the user's own file, every intermediate tensor included.

Each is a module with ``run(path, inputs, keys)`` (`hwgen.reference.runtime.Run`); `worker` calls it in a process of its
own, `asked` is what the rest of the tool uses.
"""
