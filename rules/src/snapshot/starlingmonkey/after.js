run_define("$root", run_root);
globalThis.defineBuiltinModule = run_define;
