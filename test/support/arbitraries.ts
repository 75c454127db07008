// Invalid values: typing mistakes, and text that breaks careless programs.
import fc from "fast-check";

/** Pieces of text that programs often handle wrongly. */
export const oddities = [
  "",
  " ",
  "\n",
  "\0",
  "\u00a0",
  "\ud800",
  "\udfff\ud800",
  "\u0663\uff15", // digits, but of other scripts
  "\u202e",
  "\u001b[2J",
  "__proto__",
  "constructor",
  "toString",
  "null",
  "undefined",
  "true",
  "-1",
  "1e3",
  "0x10",
  "*",
  "..",
  "-",
  ",",
  "/",
  "[]",
  "{}",
  '"',
  "'",
  "%2f",
  "${jndi:x}",
  "$(id)",
];

/** Any text, or a valid value that is kept, doubled, or has something inserted or removed. */
export const anyText = (right: readonly string[]): fc.Arbitrary<string> => {
  const base = fc.constantFrom(...right);
  const piece = fc.oneof(fc.constantFrom(...oddities), fc.string({ unit: "binary", maxLength: 4 }));
  const mutated = fc.tuple(base, fc.nat(), fc.nat({ max: 3 }), piece).map(([text, place, cut, odd]) => {
    const at = place % (text.length + 1);
    return text.slice(0, at) + odd + text.slice(at + cut);
  });
  const doubled = fc
    .tuple(base, fc.constantFrom("", ",", ".", "-", "/", ":", " ", "\n"), base)
    .map((all) => all.join(""));
  return fc.oneof(base, mutated, mutated, doubled, piece, fc.string({ unit: "binary" }));
};

/** Long texts that make a backtracking regular expression take exponential time. */
export const traps = (length: number): string[] =>
  ["a", "a-", "a.", "a/", "0", "*", ",", "a,", " ", "\n", "(", "a in (", "a=", "[", "https://a", "arn:aws:"].flatMap(
    (unit) => {
      const text = unit.repeat(length / unit.length);
      return [text, `${text}!`];
    },
  );
