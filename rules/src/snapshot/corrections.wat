;; Stands between the bindings of a world and QuickJS, where the interpreter's library errs: the bindings call `run_dylib_*`
;; of the functions below, and these call `wit_dylib_*`, the interpreter. See `corrections.rs`; `wit_dylib.h` has the types.
(module
  (@dylink.0 (mem-info (memory 20 2) (table 1 0)))
  (import "env" "memory" (memory 0))
  (import "env" "__indirect_function_table" (table 1 funcref))
  (import "env" "__memory_base" (global $base i32))
  (import "env" "__table_base" (global $table i32))
  (import "env" "cabi_realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
  (import "env" "wit_dylib_initialize" (func $initialize (param i32)))
  (import "env" "wit_dylib_export_call" (func $export_call (param i32 i32)))
  (import "env" "wit_dylib_export_finish" (func $export_finish (param i32 i32)))
  (import "env" "wit_dylib_resource_dtor" (func $resource_dtor (param i32 i32)))
  (import "env" "wit_dylib_push_borrow" (func $push_borrow (param i32 i32 i32)))
  (import "env" "wit_dylib_push_own" (func $push_own (param i32 i32 i32)))
  (import "env" "wit_dylib_push_u32" (func $push_u32 (param i32 i32)))
  (import "env" "wit_dylib_push_u64" (func $push_u64 (param i32 i64)))
  (import "env" "wit_dylib_push_f64" (func $push_f64 (param i32 f64)))
  (import "env" "wit_dylib_pop_f64" (func $pop_f64 (param i32) (result f64)))

  (type $drop (func (param i32)))
  (type $rep (func (param i32) (result i32)))

  ;; At the base of our memory: the world; whether a resource only changes hands; and how many handles are borrowed by this
  ;; call, where they are listed, and how many there is room for.
  (elem (global.get $table) func $keep)

  ;; What the interpreter is to drop borrowed handles by: they are gone by then.
  (func $keep (param i32))

  (func (export "run_dylib_initialize") (param $world i32)
    (i32.store (global.get $base) (local.get $world))
    (call $initialize (local.get $world)))

  ;; What is known of a resource: `drop` at 8, `rep` at 16, which is null unless this component has the resource.
  (func $resource (param $type i32) (result i32)
    (i32.add
      (i32.load offset=24 (i32.load (global.get $base)))
      (i32.mul (local.get $type) (i32.const 20))))

  ;; The interpreter reads an `i32`, and so gives no number above 2^31 - 1 away. Numbers are wrapped, as by `>>> 0`.
  (func (export "run_dylib_pop_u32") (param $call i32) (result i32)
    (i32.wrap_i64 (i64.trunc_sat_f64_s (call $pop_f64 (local.get $call)))))

  ;; The same for an `i64`.
  (func (export "run_dylib_pop_u64") (param $call i32) (result i64)
    (local $number f64)
    (local.set $number (call $pop_f64 (local.get $call)))
    (if (result i64) (f64.lt (local.get $number) (f64.const 0))
      (then (i64.trunc_sat_f64_s (local.get $number)))
      (else (i64.trunc_sat_f64_u (local.get $number)))))

  ;; The interpreter takes what is above 2^31 - 1 to be below zero.
  (func (export "run_dylib_push_u32") (param $call i32) (param $number i32)
    (if (i32.lt_s (local.get $number) (i32.const 0))
      (then (call $push_f64 (local.get $call) (f64.convert_i32_u (local.get $number))))
      (else (call $push_u32 (local.get $call) (local.get $number)))))

  ;; And what is above 2^63 - 1.
  (func (export "run_dylib_push_u64") (param $call i32) (param $number i64)
    (if (i64.lt_s (local.get $number) (i64.const 0))
      (then (call $push_f64 (local.get $call) (f64.convert_i64_u (local.get $number))))
      (else (call $push_u64 (local.get $call) (local.get $number)))))

  ;; The interpreter drops borrowed handles when the caller has its result, but they must be gone when the call returns. So they
  ;; are listed, dropped in time, and while the interpreter would drop them, the function for that does nothing.
  (func (export "run_dylib_push_borrow") (param $call i32) (param $type i32) (param $handle i32)
    (local $resource i32)
    (local.set $resource (call $resource (local.get $type)))
    (if (i32.eqz (i32.load offset=16 (local.get $resource)))
      (then (call $list (local.get $handle) (local.get $resource))))
    (call $push_borrow (local.get $call) (local.get $type) (local.get $handle)))

  ;; An entry: the handle, its resource, and what drops it.
  (func $list (param $handle i32) (param $resource i32)
    (local $count i32)
    (local $room i32)
    (local $at i32)
    (local.set $count (i32.load offset=8 (global.get $base)))
    (local.set $room (i32.load offset=16 (global.get $base)))
    (if (i32.eq (local.get $count) (local.get $room))
      (then
        (i32.store offset=16 (global.get $base) (i32.add (i32.mul (local.get $room) (i32.const 2)) (i32.const 8)))
        (i32.store offset=12 (global.get $base)
          (call $realloc
            (i32.load offset=12 (global.get $base))
            (i32.mul (local.get $room) (i32.const 12))
            (i32.const 4)
            (i32.mul (i32.load offset=16 (global.get $base)) (i32.const 12))))))
    (local.set $at (call $entry (local.get $count)))
    (i32.store (local.get $at) (local.get $handle))
    (i32.store offset=4 (local.get $at) (local.get $resource))
    (i32.store offset=8 (local.get $at) (i32.load offset=8 (local.get $resource)))
    (i32.store offset=8 (global.get $base) (i32.add (local.get $count) (i32.const 1))))

  (func $entry (param $number i32) (result i32)
    (i32.add (i32.load offset=12 (global.get $base)) (i32.mul (local.get $number) (i32.const 12))))

  ;; No call is made during another, so all that is listed is of this one.
  (func (export "run_dylib_export_call") (param $call i32) (param $function i32)
    (local $number i32)
    (local $at i32)
    (call $export_call (local.get $call) (local.get $function))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $number) (i32.load offset=8 (global.get $base))))
        (local.set $at (call $entry (local.get $number)))
        (call_indirect (type $drop) (i32.load (local.get $at)) (i32.load offset=8 (local.get $at)))
        (i32.store offset=8 (i32.load offset=4 (local.get $at)) (global.get $table))
        (local.set $number (i32.add (local.get $number) (i32.const 1)))
        (br $next))))

  (func (export "run_dylib_export_finish") (param $call i32) (param $function i32)
    (local $number i32)
    (local $at i32)
    (call $export_finish (local.get $call) (local.get $function))
    (block $done
      (loop $next
        (br_if $done (i32.eq (local.get $number) (i32.load offset=8 (global.get $base))))
        (local.set $at (call $entry (local.get $number)))
        (i32.store offset=8 (i32.load offset=4 (local.get $at)) (i32.load offset=8 (local.get $at)))
        (local.set $number (i32.add (local.get $number) (i32.const 1)))
        (br $next)))
    (i32.store offset=8 (global.get $base) (i32.const 0)))

  ;; When a resource of this component comes back to stay, the interpreter takes its handle for the number of its object, and
  ;; leaves the handle where it is.
  (func (export "run_dylib_push_own") (param $call i32) (param $type i32) (param $handle i32)
    (local $resource i32)
    (local.set $resource (call $resource (local.get $type)))
    (if (i32.eqz (i32.load offset=16 (local.get $resource)))
      (then (return (call $push_own (local.get $call) (local.get $type) (local.get $handle)))))
    (call $push_own
      (local.get $call)
      (local.get $type)
      (call_indirect (type $rep) (local.get $handle) (i32.load offset=16 (local.get $resource))))
    (i32.store offset=4 (global.get $base) (i32.const 1))
    (call_indirect (type $drop) (local.get $handle) (i32.load offset=8 (local.get $resource)))
    (i32.store offset=4 (global.get $base) (i32.const 0)))

  ;; An object that came back lives on.
  (func (export "run_dylib_resource_dtor") (param $type i32) (param $object i32)
    (if (i32.eqz (i32.load offset=4 (global.get $base)))
      (then (call $resource_dtor (local.get $type) (local.get $object))))))
