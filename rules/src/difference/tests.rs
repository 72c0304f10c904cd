//! Pairs of artifacts as text, and what is said of them.

use proptest::prelude::*;
use run_engine::digest::{BlobDigest, DigestFunction};

use super::*;

#[track_caller]
fn check(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>, expected: &str) {
    let (a, b) = (a.as_ref(), b.as_ref());
    assert!(describe(a, a).is_empty() && describe(b, b).is_empty());
    let told: Vec<String> =
        describe(a, b).told.iter().map(|d| d.to_string().lines().next().unwrap_or_default().into()).collect();
    assert_eq!(told.join("\n"), expected);
}

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// The causes that are recognised between two artifacts.
fn causes(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> Vec<Option<Cause>> {
    describe(a.as_ref(), b.as_ref()).told.iter().map(|difference| difference.cause).collect()
}

#[test]
fn a_function_is_named_where_names_are_known() {
    let module = |n: u32| {
        wasm(&format!(r#"(module (import "env" "f" (func)) (func $one) (func $two (result i32) i32.const {n}))"#))
    };
    check(module(1), module(2), r#"code / function 2 "two": differs at byte 43: 010b and 020b"#);
    let nameless = |n: u32| wasm(&format!("(module (func (result i32) i32.const {n}))"));
    check(nameless(1), nameless(2), "code / function 0: differs at byte 25: 010b and 020b");
}

#[test]
fn a_module_inside_a_component_is_looked_into() {
    let component = |path: &str| {
        wasm(&format!(
            r#"(component (core module (func)) (component (core module (memory 1) (data (i32.const 0) "panicked at {path}/lib.rs"))))"#
        ))
    };
    let (a, b) = (component("/build/one/src"), component("/build/two/src"));
    check(
        &a,
        &b,
        r#"component 0 / module 0 / data / segment 0: differs at byte 86: "panicked at /build/one/src/lib.rs" and "panicked at /build/two/src/lib.rs""#,
    );
    assert_eq!(causes(&a, &b), [Some(Cause::AbsolutePath)]);
    assert_eq!(a[86], b'o', "the byte is counted from the beginning of the component");
}

#[test]
fn what_says_who_made_it_is_told_by_its_values() {
    let module = |version: &str| {
        wasm(&format!(r#"(module (@producers (language "Rust" "") (processed-by "rustc" "{version}")))"#))
    };
    check(
        module("1.95.0"),
        module("1.96.0"),
        r#"custom section "producers": has "processed-by rustc 1.95.0" only in the first, and "processed-by rustc 1.96.0" only in the second"#,
    );
}

#[test]
fn what_is_missing_or_in_another_order_is_told() {
    check(
        wasm(r#"(module (@custom "a" "x") (@custom "b" "y"))"#),
        wasm(r#"(module (@custom "b" "y") (@custom "a" "x"))"#),
        r#"section 0 is custom section "a" in the first and custom section "b" in the second"#,
    );
    check(
        wasm("(module (func))"),
        wasm(r#"(module (func) (@custom "stamp" "now"))"#),
        r#"custom section "stamp": is only in the second, 3 bytes at byte 32"#,
    );
    let exports = |a: &str, b: &str| wasm(&format!(r#"(module (func (export "{a}")) (func (export "{b}")))"#));
    check(exports("f", "g"), exports("g", "f"), r#"exports: entry 0 is "f" in the first and "g" in the second"#);
    check(exports("f", "g"), exports("f", "h"), r#"exports: has "g" only in the first, and "h" only in the second"#);
    let functions =
        |a: u32, b: u32| wasm(&format!("(module (func (result i32) i32.const {a}) (func (result i32) i32.const {b}))"));
    check(functions(1, 2), functions(2, 1), "code / function 0: is at another place among the same functions");
}

#[test]
fn a_name_that_differs_is_shown() {
    let module = |name: &str| wasm(&format!("(module (func ${name}))"));
    check(
        module("f_17d3a9b2c4d5e6f708"),
        module("f_27d3a9b2c4d5e6f708"),
        r#"custom section "name" / function 0: is called "f_17d3a9b2c4d5e6f708" in the first and "f_27d3a9b2c4d5e6f708" in the second"#,
    );
    assert_eq!(causes(module("f_17d3a9b2c4d5e6f708"), module("f_27d3a9b2c4d5e6f708")), [Some(Cause::Random)]);
}

fn tar(members: &[(&str, u64, u32, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mtime, mode, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_mtime(*mtime);
        archive.append_data(&mut header, name, *content).expect("memory is there");
    }
    archive.into_inner().expect("memory is there")
}

#[test]
fn archives_are_told_by_their_members() {
    let module = |n: u32| wasm(&format!("(module (func (result i32) i32.const {n}))"));
    let (one, two) = (module(1), module(2));
    let a = tar(&[("p/x.wasm", 1, 0o644, &one), ("p/a", 1, 0o644, b"a"), ("p/gone", 1, 0o644, b"")]);
    let b = tar(&[("p/x.wasm", 2, 0o755, &two), ("p/a", 1, 0o644, b"a"), ("p/new", 1, 0o644, b"")]);
    let expected = "`p/gone`: is only in the first\n\
                    `p/x.wasm`: its time is 1 in the first and 2 in the second\n\
                    `p/x.wasm`: its mode is 644 in the first and 755 in the second\n\
                    `p/x.wasm` / code / function 0: differs at byte 537: 010b and 020b\n\
                    `p/new`: is only in the second";
    check(&a, &b, expected);
    // The same, packed: offsets are those of what is unpacked.
    let packed = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("memory is there");
    check(packed(&a), packed(&b), expected);
    check(
        tar(&[("a", 1, 0o644, b""), ("b", 1, 0o644, b"")]),
        tar(&[("b", 1, 0o644, b""), ("a", 1, 0o644, b"")]),
        "member 0 is `a` in the first and `b` in the second",
    );
    // The same content, compressed by another hand.
    let other = zstd::encode_all(a.as_slice(), 19).expect("memory is there");
    assert!(!describe(&packed(&a), &other).is_empty());
}

#[test]
fn static_libraries_are_told_by_their_members() {
    let ar = |time: u32, content: &str| {
        let header = format!("{:<16}{time:<12}{:<6}{:<6}{:<8}{:<10}`\n", "a.o/", 0, 0, 644, content.len());
        [b"!<arch>\n", header.as_bytes(), content.as_bytes()].concat()
    };
    check(
        ar(1, "one"),
        ar(2, "two"),
        "`a.o/`: its time is 1 in the first and 2 in the second\n`a.o/`: differs in line 1: \"one\" and \"two\"",
    );
}

#[test]
fn texts_are_told_line_by_line() {
    check("a\nb\nc\n", "a\nB\nc\n", r#"differs in line 2: "b" and "B""#);
    check("a\nb", "a\nb\n", r#"differs in line 2: "b" and "b\n""#);
    check("a\n", "a\nb\n", r#"differs in line 2: its end and "b""#);
    check("b\na\n", "a\nb\n", r#"differs in line 1: "b" and "a""#);
    assert_eq!(causes("b\na\n", "a\nb\n"), [Some(Cause::Order)]);
    assert_eq!(causes("at 2026-11-22\n", "at 2026-11-23\n"), [Some(Cause::Time)]);
    assert_eq!(causes("dir=/home/ada/x\n", "dir=/home/bob/x\n"), [Some(Cause::User)]);
    let long = |word: &str| format!("{}{word}\n", "x".repeat(300));
    let shown = format!("…\"{}", "x".repeat(40));
    check(long("a"), long("b"), &format!("differs in line 1: {shown}a\" and {shown}b\""));
}

#[test]
fn anything_else_is_told_by_its_first_byte() {
    check([0xff, 1, 2], [0xff, 1, 3], "differs at byte 2: 02 and 03");
    check([0xff, 1], [0xff, 1, 3], "differs at byte 2: its end and 03 (of 2 and 3 bytes)");
}

#[test]
fn what_helps_is_said() {
    assert_eq!(
        describe(b"at 10:00:01", b"at 10:00:02").to_string(),
        "differs in line 1: \"at 10:00:01\" and \"at 10:00:02\"\n  \
           this looks like a time: have the tool take the time from `SOURCE_DATE_EPOCH`, or leave it out"
    );
}

#[test]
fn only_the_first_are_told_and_the_rest_are_counted() {
    let lines = |c: &str| format!("{c}\n").repeat(TOLD_MAX + 3);
    let found = describe(lines("a").as_bytes(), lines("b").as_bytes());
    assert_eq!((found.told.len(), found.n_more), (TOLD_MAX, 3));
    assert!(found.to_string().ends_with("\nand 3 more"));
}

#[test]
fn directories_are_told_by_their_paths() {
    let mut blobs = std::collections::BTreeMap::new();
    let mut file = |bytes: &'static [u8], executable| {
        let digest: BlobDigest = DigestFunction::Blake3.digest(bytes);
        blobs.insert(digest.to_string(), bytes.to_vec());
        Node::File { digest, executable }
    };
    let tree = |nodes: Vec<(&str, Node)>| {
        let mut tree = Tree::new();
        for (path, node) in nodes {
            tree.insert(&RelPath::new(path).expect("a path"), node).expect("there is room");
        }
        tree
    };
    let link = |target: &str| Node::Symlink { target: target.into() };
    let a =
        tree(vec![("d/a", file(b"x\n", false)), ("l", link("a")), ("m", file(b"", false)), ("gone", file(b"", false))]);
    let b = tree(vec![("d/a", file(b"y\n", false)), ("l", link("b")), ("m", file(b"", true)), ("new", link("d"))]);
    let mut read = |digest: BlobDigest| blobs.get(&digest.to_string()).cloned();
    assert_eq!(
        describe_trees(&a, &b, &mut read).to_string(),
        "d/a: differs in line 1: \"x\" and \"y\"\n\
         gone: is only in the first\n\
         l: leads to `a` in the first and to `b` in the second\n\
         m: is not executable in the first and executable in the second\n\
         new: is only in the second"
    );
    assert!(describe_trees(&a, &a, &mut read).is_empty());
    let lost = describe_trees(&a, &b, &mut |_| None);
    assert!(lost.told[0].what.starts_with("has other content"), "{}", lost.told[0]);
}

/// Bytes that begin like something known, so that each reader meets what it does not expect.
fn artifacts() -> impl Strategy<Value = Vec<u8>> {
    let component = wasm(
        r#"(component (core module (import "e" "f" (func)) (memory 1) (data (i32.const 0) "abc") (func $g (export "g"))
            (@producers (language "Rust" "1"))) (@custom "x" "y"))"#,
    );
    let archive = tar(&[("a", 1, 0o644, &component), ("b", 2, 0o755, b"text\nlines\n")]);
    let packed = zstd::encode_all(archive.as_slice(), 1).expect("memory is there");
    let ar = b"!<arch>\na.o/            1           0     0     644     4         `\nabcd".to_vec();
    let text = b"one\ntwo 2026-11-22\nthree /home/x/y\n".to_vec();
    let known = prop::sample::select(vec![component, archive, packed, ar, text]);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let spoiled =
        (known, edits, any::<prop::sample::Index>(), any::<bool>()).prop_map(|(mut bytes, edits, cut, cuts)| {
            for (at, byte) in edits {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cuts {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        });
    prop_oneof![4 => spoiled, 1 => prop::collection::vec(any::<u8>(), 0..64)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn something_is_said_of_any_two_that_differ_and_nothing_of_the_same(a in artifacts(), b in artifacts()) {
        prop_assert!(describe(&a, &a).is_empty());
        let found = describe(&a, &b);
        prop_assert_eq!(found.is_empty(), a == b);
        prop_assert!(found.told.len() <= TOLD_MAX);
        prop_assert!(found.to_string().len() < 16 * 1024, "{} bytes", found.to_string().len());
    }
}
