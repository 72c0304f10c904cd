/** The number that follows. */
export function greet(number: number): number {
  return (number + 1) | 0;
}
