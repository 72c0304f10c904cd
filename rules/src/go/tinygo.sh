# Compiles a module to a core module with TinyGo. Run as `sh -c THIS compile DIRECTORY PACKAGE OPTIMISATION BUILDMODE` in the
# input root. It caches for itself, in a home that ends with the action.
set -eu
here=$PWD
mkdir -p .run/out
begin cache
enter "$1"
tinygo build -target=wasip1 -buildmode="$4" -no-debug -opt="$3" -o "$here/.run/out/module.wasm" "$2"
