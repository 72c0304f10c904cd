/** The number that follows. */
export function greet(number) {
  return (number + 1) | 0;
}
