/**
 * The number that follows.
 * @param {number} number
 */
export function greet(number) {
  return (number + 1) | 0;
}
