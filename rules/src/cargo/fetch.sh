# Gets the external packages of a lockfile. Run as `sh -c THIS fetch WORKSPACE UP` in the input root, where WORKSPACE is a
# directory, empty or with a `/` in front, and UP leads back from it.
#
# Cargo checks every package against the lockfile. The user's mirrors are asked (`--respect-source-config`); what is
# written does not tell which.
set -eu
mkdir -p .run/out
out=$PWD/.run/out
cd "$PWD$1"
# Quiet, cargo would not print the configuration either; so what it says is kept back unless something is wrong.
log=$(CARGO_TERM_QUIET=false cargo vendor --locked --versioned-dirs --respect-source-config "$2.run/out/vendor" 2>&1 > "$out/config.toml") || {
    printf '%s\n' "$log" >&2
    exit 1
}
mkdir -p "$out/vendor"
