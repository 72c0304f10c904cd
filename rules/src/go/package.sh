# Compiles packages of the project as go has planned it. Run as `sh -c THIS compile PACKAGE…` in the input root; the plan is that
# of the first. For each it leaves what importers need and what the linker needs, empty where go wants none.
set -eu
here=$PWD
plan=.run/plan/$1/=
for package; do
    mkdir -p ".run/packages/$package/="
    : > ".run/packages/$package/=/export"
    : > ".run/packages/$package/=/object"
done
package() {
    compile=$GOTOOLDIR/$1/compile number=$2 name=$3 from=$here${4:+/$4} shown=$5 out=.run/packages/$3/=
    shift 5
    if [ -f "$plan/embeds$number" ]; then set -- -embedcfg "$plan/embeds$number" "$@"; fi
    "$compile" -o "$out/export" -linkobj "$out/object" -c=4 -trimpath "$from=>$shown" -importcfg "$plan/imports$number" "$@" > .run/said 2>&1 || {
        # Go gives whole paths, as positions are made of them, and shows them from where its user is.
        { printf '# %s\n' "$name"; sed "s|$(literally "$here")/||g" .run/said; } >&2
        exit 1
    }
    if [ -s .run/said ]; then cat .run/said >&2; fi
}
. "./$plan/build.sh"
