// Looks for secrets in whatever was left behind, plain and in base64, in one pass however many they are. Pure.

/** So long is a piece of a secret that is looked for: nobody has it by chance. */
const pieceLength = 20;

/**
 * Letters and digits alone, where there are enough: these are the same in JSON, in URLs and in both kinds of base64. The last
 * ones: of a signed token that is its signature, and not what all of them say.
 */
function distinctivePiece(text: string): string | undefined {
  const plain = [...text.matchAll(/[A-Za-z0-9]+/g)].filter(([run]) => run.length >= pieceLength).at(-1)?.[0] ?? text;
  const start = Math.max(0, Math.floor((plain.length - pieceLength) / 2));
  const piece = plain.slice(start, start + pieceLength);
  return piece.length === pieceLength ? piece : undefined;
}

/** What gives a secret away: a piece of itself, and of its base64 wherever it begins in what is encoded. */
export function piecesOf(secret: string): string[] {
  const encoded = [0, 1, 2].map((offset) => {
    const text = Buffer.from(" ".repeat(offset) + secret).toString("base64");
    // At both ends there are characters that depend on the neighbours, too.
    return text.slice(offset === 0 ? 0 : 4, -4);
  });
  return [secret, ...encoded].flatMap((text) => distinctivePiece(text) ?? []);
}

const tableBits = 20;

/** What four bytes of a piece, and the four after them, are filed under. */
const hash = (first: number, second: number): number =>
  (Math.imul(first, 0x9e3779b1) ^ Math.imul(second, 0x85ebca6b)) >>> (32 - tableBits);

export class LeakSearch {
  readonly #pieces = new Map<string, string>();
  readonly #table = new Uint8Array(1 << tableBits);

  /** `secrets` by what they are called in a finding. */
  constructor(secrets: Iterable<readonly [secret: string, called: string]>) {
    for (const [secret, called] of secrets) {
      for (const piece of piecesOf(secret)) {
        this.#pieces.set(piece, called);
        const bytes = Buffer.from(piece, "latin1");
        this.#table[hash(bytes.readInt32LE(0), bytes.readInt32LE(4))] = 1;
      }
    }
  }

  /** How many pieces it looks for. */
  get size(): number {
    return this.#pieces.size;
  }

  /** The secrets, by what they are called, that are in a text, and where. */
  find(text: Buffer): { readonly called: string; readonly at: number }[] {
    const found: { called: string; at: number }[] = [];
    const end = text.length - pieceLength;
    if (end < 0) return found;
    // Eight bytes that move on by one: read anew, each of them would cost more than all the rest.
    let [first, second] = [text.readInt32LE(0), text.readInt32LE(4)];
    for (let at = 0; at <= end; at += 1) {
      if (this.#table[hash(first, second)] === 1) {
        const called = this.#pieces.get(text.toString("latin1", at, at + pieceLength));
        if (called !== undefined) found.push({ called, at });
      }
      first = (first >>> 8) | (second << 24);
      second = (second >>> 8) | ((text[at + 8] ?? 0) << 24);
    }
    return found;
  }
}

/** What is a credential whoever made it: a token of a service account, one of `aws eks get-token`, a private key. */
export const credentialPatterns: Readonly<Record<string, RegExp>> = {
  "a service account's token": /eyJhbGciOi[\w-]+\.eyJ[\w-]{40,}\.[\w-]{20,}/,
  "a token of aws eks get-token": /k8s-aws-v1\.[\w-]{40,}/,
  "a private key": /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
};
