import importlib

program = importlib.import_module(PROGRAM)
missing = []
for number, path in enumerate(PROMISES):
    value = program
    for name in path:
        value = None if value is None else getattr(value, name, None)
    if not callable(value) or getattr(value, "__isabstractmethod__", False):
        missing.append(number)
if missing:
    raise ImportError("run:missing " + " ".join(map(str, missing)) + "\n")
run_kept = importlib.import_module("run_kept")
run_kept.keep("/kept")
globals().update({name: value for name, value in vars(program).items() if not name.startswith("__")})
