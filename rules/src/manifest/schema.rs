//! The keys of `run.toml`, as one table that drives the reader, its messages and the JSON schema, so that they can't
//! drift apart.
//!
//! What a text has to look like is a [`Form`]: a noun, a diagnostic code and the parser of the type it becomes. What
//! keys have to do with each other beyond "exactly one of" is [`super::check()`]'s business.

use std::str::FromStr;

use semver::VersionReq;
use serde_json::{Map, Value, json};

use super::language::Language;
use super::pattern::Pattern;
use super::raw::{DirPath, FilePath, ProjectVersion};
use crate::capability::{Capability, DirGrant};
use crate::diagnostic::Refused;
use crate::name::{EnvName, PackageName, TargetName, ToolName, WorldName};
use crate::quantity::{Size, Timeout};

/// The keys that one table may have.
pub(super) struct Table {
    /// How messages call it: `[[component]]`.
    pub(super) title: &'static str,
    /// What it is for, as a sentence.
    pub(super) doc: &'static str,
    /// Its keys, in the order of the documentation.
    pub(super) keys: &'static [Key],
    /// Of these keys exactly one has to be given; empty when there is no such choice.
    pub(super) exactly_one: &'static [&'static str],
    /// Pairs of keys of which the first needs the second.
    pub(super) needs: &'static [(&'static str, &'static str)],
}

/// One key of a table.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// Its value in an example, as TOML; empty for tables.
    pub(super) example: &'static str,
    /// What it means, as a sentence.
    pub(super) doc: &'static str,
    pub(super) is_required: bool,
    pub(super) standing: Standing,
}

/// Whether a key does what it says.
pub(super) enum Standing {
    /// It does.
    Works,
    /// It serves something that this version lacks: checked, warned about, and then ignored.
    NotYet {
        /// What is lacking, as a noun phrase.
        lacking: &'static str,
    },
    /// It is understood, and a bad idea.
    Discouraged {
        code: &'static str,
        /// What is bad about it, as a clause after the key's name.
        why: &'static str,
        /// What to do instead, as a sentence.
        instead: &'static str,
    },
}

/// What a value has to look like.
pub(super) enum Shape {
    /// `true` or `false`.
    Bool,
    /// A whole number in a range, both ends included.
    Integer { min: i64, max: i64 },
    /// A text of some form.
    Text(&'static Form),
    /// One of a closed list of words.
    Word(&'static [&'static str]),
    /// A list of values that are alike.
    List(&'static Self),
    /// A table whose keys the user chooses.
    Map { keys: &'static Form, values: &'static Self },
    /// A table.
    Table(&'static Table),
    /// A list of tables, written with double brackets.
    Tables(&'static Table),
    /// A short form and a long form of the same thing.
    TextOrTable(&'static Form, &'static Table),
    /// Anything at all: options that only their consumer understands.
    Anything,
}

/// A text that is more than text.
pub(super) struct Form {
    /// What it is, with its article: `a size`.
    pub(super) noun: &'static str,
    /// The code of a text that is refused.
    pub(super) code: &'static str,
    /// The parser of the type that it becomes, without the value.
    pub(super) refuse: fn(&str) -> Result<(), Refused>,
}

impl Table {
    /// The key of this name.
    pub(super) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn key(name: &'static str, shape: Shape, example: &'static str, doc: &'static str) -> Key {
    Key { name, shape, example, doc, is_required: false, standing: Standing::Works }
}

impl Key {
    const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    const fn not_yet(mut self, lacking: &'static str) -> Self {
        self.standing = Standing::NotYet { lacking };
        self
    }

    const fn discouraged(mut self, code: &'static str, why: &'static str, instead: &'static str) -> Self {
        self.standing = Standing::Discouraged { code, why, instead };
        self
    }
}

/// Runs the parser of a type for its refusal only.
fn parses<T: FromStr<Err = Refused>>(text: &str) -> Result<(), Refused> {
    text.parse::<T>().map(drop)
}

const fn form(noun: &'static str, code: &'static str, refuse: fn(&str) -> Result<(), Refused>) -> Form {
    Form { noun, code, refuse }
}

static TEXT: Form = form("a text", "bad-text", |_| Ok(()));
static LINE: Form = form("a text of one line", "bad-text", one_line);
static NAME: Form = form("a name", "bad-name", parses::<TargetName>);
static PACKAGE: Form = form("a package name", "bad-name", parses::<PackageName>);
static WORLD: Form = form("the name of a world", "bad-name", parses::<WorldName>);
static TOOL: Form = form("the name of an executable", "bad-name", parses::<ToolName>);
static VARIABLE: Form = form("the name of a variable", "bad-name", parses::<EnvName>);
static VERSION: Form = form("a version", "bad-version", parses::<ProjectVersion>);
static REQUIREMENT: Form = form("a version requirement", "bad-version", version_requirement);
static FILE: Form = form("a path", "bad-path", parses::<FilePath>);
static DIR: Form = form("a path", "bad-path", parses::<DirPath>);
static PATTERN: Form = form("a pattern", "bad-pattern", parses::<Pattern>);
static SIZE: Form = form("a size", "bad-size", parses::<Size>);
static DURATION: Form = form("a duration", "bad-duration", parses::<Timeout>);
static CAPABILITY: Form = form("a capability", "bad-capability", parses::<Capability>);
static GRANT: Form = form("a directory and the guest's name for it", "bad-path", parses::<DirGrant>);
static REMOTE_URL: Form = form("a URL", "bad-url", |t| url(t, &["grpc://", "grpcs://", "http://", "https://"]));
static HTTP_URL: Form = form("a URL", "bad-url", |t| url(t, &["https://", "http://"]));

const TEXTS: Shape = Shape::List(&Shape::Text(&TEXT));
const NAMES: Shape = Shape::List(&Shape::Text(&NAME));
const PATTERNS: Shape = Shape::List(&Shape::Text(&PATTERN));
const CAPABILITIES: Shape = Shape::List(&Shape::Text(&CAPABILITY));
const ENV: Shape = Shape::Map { keys: &VARIABLE, values: &Shape::Text(&TEXT) };
const DEPENDENCIES: Shape = Shape::Map { keys: &PACKAGE, values: &Shape::TextOrTable(&REQUIREMENT, &DEPENDENCY) };

/// The file itself.
pub(super) static ROOT: Table = Table {
    title: "run.toml",
    doc: "A project for `run v2`.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("project", Shape::Table(&PROJECT), "", "What the project is called.").required(),
        key("component", Shape::Tables(&COMPONENT), "", "A WebAssembly component, built from source or pre-built."),
        key("compose", Shape::Tables(&COMPOSE), "", "Components joined into one."),
        key("command", Shape::Tables(&COMMAND), "", "Any other step, as a sandboxed, cached target."),
        key("test", Shape::Tables(&TEST), "", "A test of a target."),
        key("dependencies", DEPENDENCIES, "", "Components from elsewhere.").not_yet("`run v2 install`"),
        key("dev_dependencies", DEPENDENCIES, "", "Components from elsewhere that only tests use.")
            .not_yet("`run v2 install`"),
        key("build", Shape::Table(&BUILD), "", "How targets are built."),
        key("cache", Shape::Table(&CACHE), "", "The store of results on this machine."),
        key("remote", Shape::Table(&REMOTE), "", "A store of results shared by many machines.")
            .not_yet("the remote cache"),
        key("toolchain", Shape::Table(&TOOLCHAINS), "", "The compilers to use, by language."),
        key("registry", Shape::Table(&REGISTRY), "", "Where packages come from.").not_yet("`run v2 install`"),
        key("dev", Shape::Table(&DEV), "", "The development server.").not_yet("`run v2 dev`"),
        key("deploy", Shape::Map { keys: &NAME, values: &Shape::Table(&DEPLOY) }, "", "Where to deploy, by profile.")
            .not_yet("`run v2 deploy`"),
    ],
};

pub(super) static PROJECT: Table = Table {
    title: "[project]",
    doc: "What the project is called.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("name", Shape::Text(&NAME), "\"shop\"", "The project's name.").required(),
        key("version", Shape::Text(&VERSION), "\"1.0.0\"", "The project's semantic version.").required(),
        key("description", Shape::Text(&TEXT), "\"A shop.\"", "What the project is, in a sentence."),
        key("authors", TEXTS, "[\"Ada <ada@example.org>\"]", "Who wrote it."),
        key("license", Shape::Text(&LINE), "\"MIT\"", "Its licence, as an SPDX expression."),
        key("repository", Shape::Text(&LINE), "\"https://example.org/shop\"", "Where its sources are."),
    ],
};

pub(super) static COMPONENT: Table = Table {
    title: "[[component]]",
    doc: "A WebAssembly component, built from source or pre-built.",
    exactly_one: &["source", "path"],
    needs: &[],
    keys: &[
        key("name", Shape::Text(&NAME), "\"api\"", "The target's name.").required(),
        key("source", Shape::Text(&DIR), "\"services/api\"", "The directory or file it is built from."),
        key("path", Shape::Text(&FILE), "\"vendor/legacy.wasm\"", "The file of a pre-built component."),
        key(
            "language",
            Shape::Word(Language::NAMES),
            "\"rust\"",
            "What it is written in; detected from `source` when absent.",
        ),
        key("wit", Shape::Text(&FILE), "\"wit/api.wit\"", "The file or directory that describes its interface."),
        key(
            "world",
            Shape::Text(&WORLD),
            "\"api\"",
            "The world it implements: one of `wit`'s, or without `wit` one of `wasi:cli/command` and `wasi:http/proxy`.",
        ),
        key(
            "sources",
            PATTERNS,
            "[\"src/**\"]",
            "The files that matter, relative to `source`; by default all that git does not ignore.",
        ),
        key("target", Shape::Word(super::RustTarget::NAMES), "\"wasip2\"", "What Rust compiles for."),
        key("features", TEXTS, "[\"json\"]", "The cargo features to enable."),
        key("compiler", Shape::Word(super::GoCompiler::NAMES), "\"tinygo\"", "Which Go compiler to use."),
        key(
            "engine",
            Shape::Word(&["quickjs", "starlingmonkey"]),
            "\"quickjs\"",
            "Which engine runs JavaScript inside the component: small QuickJS, or StarlingMonkey with the interfaces of the web.",
        ),
        key("typecheck", Shape::Bool, "true", "Whether TypeScript is checked before it is built."),
        key(
            "capabilities",
            CAPABILITIES,
            "[\"http-client\", \"clock\"]",
            "The most that it will ever be granted; nothing when absent.",
        ),
        key("depends", NAMES, "[\"calc\"]", "Other targets, whose exports satisfy its imports."),
        key("enabled", Shape::Bool, "true", "Whether it is part of the project."),
        key("env", ENV, "{ LOG = \"info\" }", "The guest's variables at run time, never the compiler's."),
    ],
};

pub(super) static COMPOSE: Table = Table {
    title: "[[compose]]",
    doc: "Components joined into one.",
    exactly_one: &["root", "wac"],
    needs: &[],
    keys: &[
        key("name", Shape::Text(&NAME), "\"app\"", "The target's name.").required(),
        key("root", Shape::Text(&NAME), "\"api\"", "The target whose exports are those of the composition."),
        key("with", NAMES, "[\"calc\", \"legacy\"]", "The targets whose exports satisfy its imports."),
        key("wac", Shape::Text(&FILE), "\"app.wac\"", "A script that says how to compose."),
    ],
};

pub(super) static COMMAND: Table = Table {
    title: "[[command]]",
    doc: "Any other step, as a sandboxed, cached target.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("name", Shape::Text(&NAME), "\"tokens\"", "The target's name.").required(),
        key("run", TEXTS, "[\"jq\", \".\", \"a.json\"]", "The program and its arguments; no shell unless asked for.")
            .required(),
        key("inputs", PATTERNS, "[\"design/**\"]", "The files of the project that it reads."),
        key("outputs", Shape::List(&Shape::Text(&FILE)), "[\"gen/tokens.rs\"]", "The files that it writes."),
        key("depends", NAMES, "[\"app\"]", "The targets whose outputs it reads."),
        key("tools", Shape::List(&Shape::Text(&TOOL)), "[\"jq\"]", "Executables of this machine that it uses."),
    ],
};

pub(super) static TEST: Table = Table {
    title: "[[test]]",
    doc: "A test of a target.",
    exactly_one: &[],
    needs: &[("args", "function"), ("expected", "function"), ("expected_error", "function")],
    keys: &[
        key("component", Shape::Text(&NAME), "\"calc\"", "The target to test.").required(),
        key("name", Shape::Text(&LINE), "\"adds\"", "The test's name; by default function and arguments."),
        key("function", Shape::Text(&LINE), "\"add\"", "The function to call."),
        key("args", TEXTS, "[\"s32:2\", \"s32:3\"]", "Its arguments, as typed literals or WAVE."),
        key("expected", Shape::Text(&TEXT), "\"s32:5\"", "The value it returns; `()` for none."),
        key("expected_error", Shape::Text(&TEXT), "\"overflow\"", "The error it returns."),
        key("expected_stdout", Shape::Text(&TEXT), "\"hello\\n\"", "What a command writes to its output."),
        key("expected_exit", Shape::Integer { min: 0, max: 255 }, "0", "The status a command exits with."),
        key("argv", TEXTS, "[\"--verbose\"]", "The arguments of a command component."),
        key("stdin", Shape::Text(&TEXT), "\"a\\n\"", "What a command component reads from its input."),
        key("env", ENV, "{ LOG = \"debug\" }", "The guest's variables."),
        key("dirs", Shape::List(&Shape::Text(&GRANT)), "[\"testdata::/data:ro\"]", "The directories it sees."),
        key("allow", CAPABILITIES, "[\"clock\"]", "What it is granted."),
        key("fuel", Shape::Integer { min: 1, max: i64::MAX }, "1000000", "How many instructions it may execute."),
        key("memory", Shape::Text(&SIZE), "\"64MiB\"", "How much memory it may use."),
        key("timeout", Shape::Text(&DURATION), "\"2s\"", "How long it may take."),
    ],
};

static DEPENDENCY: Table = Table {
    title: "a dependency",
    doc: "Where a component comes from.",
    exactly_one: &["version", "path", "git", "oci"],
    needs: &[("git", "rev"), ("rev", "git")],
    keys: &[
        key("version", Shape::Text(&REQUIREMENT), "\"1.0.0\"", "The version wanted from the registry."),
        key("path", Shape::Text(&FILE), "\"vendor/calc.wasm\"", "A file of the project."),
        key("git", Shape::Text(&LINE), "\"https://example.org/calc.git\"", "A git repository."),
        key("rev", Shape::Text(&LINE), "\"9f2c1ab\"", "The commit wanted from it."),
        key("oci", Shape::Text(&LINE), "\"example.org/demo/calc:1.0.0\"", "An image in an OCI registry."),
    ],
};

pub(super) static BUILD: Table = Table {
    title: "[build]",
    doc: "How targets are built.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("output_dir", Shape::Text(&FILE), "\"target/wasm\"", "Where the components are put."),
        key("opt_level", Shape::Word(super::Profile::NAMES), "\"release\"", "Whether outputs are optimised."),
        key(
            "reproducible",
            Shape::Bool,
            "false",
            "Whether tools are told to leave out when and where they run: `SOURCE_DATE_EPOCH` is set and paths are cut off.",
        ),
    ],
};

pub(super) static CACHE: Table = Table {
    title: "[cache]",
    doc: "The store of results on this machine.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("dir", Shape::Text(&LINE), "\"/var/cache/run\"", "Where it is; by default in the user's cache directory."),
        key("max_size", Shape::Text(&SIZE), "\"20GB\"", "How large it may grow."),
        key(
            "digest",
            Shape::Word(super::DigestChoice::NAMES),
            "\"auto\"",
            "The hash that names contents; `auto` is BLAKE3, or SHA-256 where there is a `[remote]` table.",
        ),
    ],
};

static REMOTE: Table = Table {
    title: "[remote]",
    doc: "A store of results shared by many machines, by the Remote Execution API.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("url", Shape::Text(&REMOTE_URL), "\"grpcs://cache.example.org\"", "Where it is."),
        key("instance", Shape::Text(&LINE), "\"main\"", "The instance on that server."),
        key("mode", Shape::Word(&["read", "read-write"]), "\"read\"", "Whether results are also written to it."),
        key("execute", Shape::Bool, "false", "Whether actions run there too."),
        key("trust", Shape::Word(&["any", "signed"]), "\"any\"", "Whose results are taken."),
        key("ca", Shape::Text(&LINE), "\"ca.pem\"", "The certificate that signs the server's."),
        key("credential_helper", Shape::Text(&LINE), "\"cache-login\"", "A program that prints credentials."),
    ],
};

pub(super) static TOOLCHAINS: Table = Table {
    title: "[toolchain]",
    doc: "The compilers to use, by language.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("rust", Shape::Table(&TOOLCHAIN), "", "The Rust toolchain."),
        key("go", Shape::Table(&TOOLCHAIN), "", "The Go toolchain."),
        key("python", Shape::Table(&TOOLCHAIN), "", "The Python toolchain."),
        key("javascript", Shape::Table(&TOOLCHAIN), "", "The JavaScript toolchain."),
        key("typescript", Shape::Table(&TOOLCHAIN), "", "The TypeScript toolchain."),
        key("zig", Shape::Table(&TOOLCHAIN), "", "The Zig toolchain."),
        key("c", Shape::Table(&TOOLCHAIN), "", "The C toolchain."),
        key("esbuild", Shape::Table(&TOOLCHAIN), "", "What bundles JavaScript and TypeScript."),
    ],
};

pub(super) static TOOLCHAIN: Table = Table {
    title: "[toolchain.LANGUAGE]",
    doc: "Which compiler to use.",
    exactly_one: &["version", "path"],
    needs: &[],
    keys: &[
        key("version", Shape::Text(&LINE), "\"1.95.0\"", "The version wanted."),
        key("path", Shape::Text(&LINE), "\"/opt/rust\"", "Where it is installed."),
    ],
};

static REGISTRY: Table = Table {
    title: "[registry]",
    doc: "Where packages come from.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("url", Shape::Text(&HTTP_URL), "\"https://registry.example.org\"", "The registry."),
        key(
            "mirrors",
            Shape::List(&Shape::Text(&HTTP_URL)),
            "[\"https://mirror.example.org\"]",
            "Other places that hold the same packages.",
        ),
        key("auth_token", Shape::Text(&LINE), "\"…\"", "A secret; set the variable `RUN_AUTH_TOKEN` instead.")
            .discouraged(
                "token-in-manifest",
                "puts a secret into a file that is committed",
                "remove it, revoke the token, and set the variable `RUN_AUTH_TOKEN` to a new one",
            ),
    ],
};

static DEV: Table = Table {
    title: "[dev]",
    doc: "The development server.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("watch", PATTERNS, "[\"src/**\"]", "More files to watch."),
        key("hot_reload", Shape::Bool, "true", "Whether components are replaced while it runs."),
        key("port", Shape::Integer { min: 1, max: 65_535 }, "3000", "The port it listens on."),
        key("log_level", Shape::Word(&["error", "warn", "info", "debug", "trace"]), "\"info\"", "How much it says."),
    ],
};

static DEPLOY: Table = Table {
    title: "[deploy.PROFILE]",
    doc: "Where to deploy.",
    exactly_one: &[],
    needs: &[],
    keys: &[
        key("target_type", Shape::Word(&["local", "registry", "edge"]), "\"edge\"", "The kind of place."),
        key(
            "provider",
            Shape::Word(&["cloudflare", "aws-lambda", "fastly", "vercel"]),
            "\"cloudflare\"",
            "Who runs the edge.",
        ),
        key("options", Shape::Map { keys: &LINE, values: &Shape::Anything }, "{ region = \"eu\" }", "The provider's."),
    ],
};

fn one_line(text: &str) -> Result<(), Refused> {
    let why = if text.is_empty() {
        "is empty"
    } else if text.trim().is_empty() {
        "is blank"
    } else if text.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    let help = "write some text on one line, or leave the key out".to_owned();
    Err(Refused { what: "text", text: text.to_owned(), why: why.to_owned(), help })
}

fn version_requirement(text: &str) -> Result<(), Refused> {
    VersionReq::parse(text).map(drop).map_err(|e| Refused {
        what: "version requirement",
        text: text.to_owned(),
        why: format!("is not understood: {e}"),
        help: "write it as in `1.0.0`, `^1.2` or `>=1, <3`".to_owned(),
    })
}

fn url(text: &str, schemes: &[&str]) -> Result<(), Refused> {
    let refuse = |why: &str| {
        let help = format!("write it as in `{}host.example.org`", schemes[0]);
        Err(Refused { what: "URL", text: text.to_owned(), why: why.to_owned(), help })
    };
    let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
        let schemes: Vec<_> = schemes.iter().map(|scheme| format!("`{scheme}`")).collect();
        return refuse(&format!("does not begin with {}", super::listed(&schemes, "or")));
    };
    let host = rest.split('/').next().unwrap_or(rest);
    if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("names no host");
    }
    if host.contains('@') {
        return refuse("holds a user name or a password");
    }
    Ok(())
}

/// The JSON schema of `run.toml`, for editors and for `run v2 schema`.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!(ROOT.title));
    schema.extend(table_schema(&ROOT));
    Value::Object(schema)
}

fn table_schema(table: &Table) -> Map<String, Value> {
    let properties: Map<_, _> = table.keys.iter().map(|key| (key.name.to_owned(), key_schema(key))).collect();
    let required: Vec<_> = table.keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    let mut schema = Map::new();
    schema.insert("description".to_owned(), json!(table.doc));
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if !table.exactly_one.is_empty() {
        let choices: Vec<_> = table.exactly_one.iter().map(|name| json!({ "required": [name] })).collect();
        schema.insert("oneOf".to_owned(), json!(choices));
    }
    if !table.needs.is_empty() {
        let needs: Map<_, _> = table.needs.iter().map(|(a, b)| ((*a).to_owned(), json!([b]))).collect();
        schema.insert("dependentRequired".to_owned(), Value::Object(needs));
    }
    schema
}

fn key_schema(key: &Key) -> Value {
    let mut schema = shape_schema(&key.shape);
    let doc = match key.standing {
        Standing::NotYet { lacking } => format!("{} Needs {lacking}, which this version does not have.", key.doc),
        Standing::Works | Standing::Discouraged { .. } => key.doc.to_owned(),
    };
    schema.insert("description".to_owned(), json!(doc));
    if matches!(key.standing, Standing::Discouraged { .. }) {
        schema.insert("deprecated".to_owned(), json!(true));
    }
    Value::Object(schema)
}

fn shape_schema(shape: &Shape) -> Map<String, Value> {
    let schema = match shape {
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Text(_) => json!({ "type": "string" }),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::List(item) => json!({ "type": "array", "items": shape_schema(item) }),
        Shape::Map { values, .. } => json!({ "type": "object", "additionalProperties": shape_schema(values) }),
        Shape::Table(table) => return table_schema(table),
        Shape::Tables(table) => json!({ "type": "array", "items": table_schema(table) }),
        Shape::TextOrTable(_, table) => json!({ "anyOf": [{ "type": "string" }, table_schema(table)] }),
        Shape::Anything => json!({}),
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}
