// Limits the lists that the helper gets as JSON, each in one variable of its environment.
import { encodeList } from "../../helper/shared/environment.ts";
import type { ConfigReader } from "./reader.ts";

/** In characters of JSON. Linux starts no program with a variable of 128 KiB, and an API server takes no object of 1.5 MiB. */
const maxSize = 32_768;

/** Reports the list of a key if what the helper gets of it is too large. */
export function checkVariableSize(
  config: ConfigReader,
  key: string,
  list: readonly unknown[],
  encoded: readonly object[],
): void {
  const size = encodeList(encoded).length;
  if (size <= maxSize) return;
  config.addListMistake(key, list, `at most ${String(maxSize)} characters in all, where these have ${String(size)}`);
}
