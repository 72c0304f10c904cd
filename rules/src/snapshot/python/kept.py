"""Modules and files that a program looks for when it runs: kept in memory, as there is no file then."""

import sys
import zlib
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader

# The content of files, compressed, and the names in directories: by path, as the program was loaded with them.
files = {}
directories = {}


class Loader(SourceFileLoader):
    def get_data(self, path):
        kept = files.get(str(path))
        return super().get_data(path) if kept is None else zlib.decompress(kept)

    def get_code(self, name):
        # Without a look at the file, which is not there.
        return self.source_to_code(self.get_data(self.path), self.path)

    def get_resource_reader(self, name):
        return Reader(self.path.rpartition("/")[0]) if self.is_package(name) else None


class Finder:
    """Looks for modules where they would be found among files."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        parts = []
        for directory in sys.path if path is None else path:
            place = f"{directory}/{name.rpartition('.')[2]}"
            for file, locations in (f"{place}/__init__.py", [place]), (f"{place}.py", None):
                if file in files:
                    spec = ModuleSpec(name, Loader(name, file), origin=file)
                    spec.submodule_search_locations = locations
                    spec.has_location = True
                    return spec
            if place in directories:
                parts.append(place)
        if not parts:
            return None
        spec = ModuleSpec(name, None)
        spec.submodule_search_locations = parts
        return spec


    @staticmethod
    def find_distributions(context):
        """What `importlib.metadata` asks about packages."""
        from importlib.metadata import PathDistribution

        for directory in context.path:
            for name in directories.get(directory, ()):
                package, _, ending = name.rpartition(".")
                is_asked_for = context.name is None or plain(context.name) == plain(package.partition("-")[0])
                if ending == "dist-info" and is_asked_for:
                    yield PathDistribution(Node(f"{directory}/{name}"))


class Reader:
    """What `importlib.resources` asks of a package."""

    def __init__(self, path):
        self.path = path

    def files(self):
        return Node(self.path)


class Node:
    """A file or a directory, as `importlib.resources` shows it."""

    def __init__(self, path):
        self.path = path
        self.name = path.rpartition("/")[2]

    def __str__(self):
        return self.path

    def is_file(self):
        return self.path in files

    def is_dir(self):
        return self.path in directories

    def iterdir(self):
        return (Node(f"{self.path}/{name}") for name in directories.get(self.path, ()))

    def joinpath(self, *below):
        parts = [part for path in below for part in str(path).split("/") if part not in ("", ".")]
        return Node("/".join([self.path, *parts]))

    def __truediv__(self, below):
        return self.joinpath(below)

    def open(self, mode="r", *args, **kwargs):
        import io

        file = io.BytesIO(self.read_bytes())
        return file if "b" in mode else io.TextIOWrapper(file, *args, **kwargs)

    def read_bytes(self):
        if self.path not in files:
            raise FileNotFoundError(self.path)
        return zlib.decompress(files[self.path])

    def read_text(self, encoding=None, errors=None):
        with self.open(encoding=encoding or "utf-8", errors=errors) as file:
            return file.read()


def plain(name):
    """A package's name without the spellings that mean the same."""
    return name.lower().replace("-", "_").replace(".", "_")


def keep(place):
    """Keeps what is packed at `place`, by path; but no module that is loaded already."""
    modules = list(sys.modules.values())
    loaded = {getattr(module, "__file__", None) for module in modules}
    for part in "library", "program":
        with open(f"{place}/{part}.index") as index, open(f"{place}/{part}", "rb") as data:
            for line in index:
                start, length, path = line.rstrip("\n").split(" ", 2)
                if path not in loaded:
                    data.seek(int(start))
                    files[path] = data.read(int(length))
                directory, _, name = path.rpartition("/")
                while directory and name not in directories.setdefault(directory, {}):
                    directories[directory][name] = None
                    directory, _, name = directory.rpartition("/")
    for module in modules:
        spec = getattr(module, "__spec__", None)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            module.__loader__ = spec.loader = Loader(spec.name, spec.loader.path)
    sys.meta_path.insert(sys.meta_path.index(PathFinder), Finder)
