const missing = [];
PROMISES.forEach(([path, isMethod], number) => {
  let value = program;
  path.forEach((name, at) => {
    if (isMethod && at === path.length - 1) value = value?.prototype;
    value = value?.[name];
  });
  if (typeof value !== "function") missing.push(number);
});
if (missing.length > 0) throw new Error(`run:missing ${missing.join(" ")}`);
