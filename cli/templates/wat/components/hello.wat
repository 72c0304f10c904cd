;; A component in text form: `greet` adds one.
(component
  (core module $code
    (func (export "greet") (param $number i32) (result i32)
      (i32.add (local.get $number) (i32.const 1))))
  (core instance $code (instantiate $code))
  (func (export "greet") (param "number" s32) (result s32)
    (canon lift (core func $code "greet"))))
