// How long the Pulumi program takes, compared with a module that only imports the same packages.
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { median, rounded } from "./statistics.ts";

const infra = join(import.meta.dirname, "../../infra");

/** Runs a module in a process of its own, and resolves with the seconds that it took. */
async function seconds(file: string): Promise<number> {
  const start = performance.now();
  await promisify(execFile)(process.execPath, [file]);
  return (performance.now() - start) / 1000;
}

/** Medians in seconds of alternating runs: the program on Pulumi's mocks, which are included, and its imports alone. */
export async function programTime(runs = 7): Promise<Record<string, number>> {
  const folder = await mkdtemp(join(import.meta.dirname, "program-"));
  try {
    const sources = (await readdir(infra, { encoding: "utf8", recursive: true })).filter(
      (name) => name.endsWith(".ts") && !["sbom.ts", "renew-base-image.ts"].includes(name),
    );
    const texts = await Promise.all(sources.map(async (name) => readFile(join(infra, name), "utf8")));
    // Imports of types are erased at run time.
    const imports = texts.flatMap((text) => [
      ...text.matchAll(/^import (?!type ).* from "((?:@|node:|esbuild)[^"]*)";$/gm),
    ]);
    const unique = new Set(imports.map(([, module]) => module));
    const importing = join(folder, "imports.ts");
    await writeFile(importing, [...unique].map((module) => `import ${JSON.stringify(module)};\n`).join(""));
    const running = join(folder, "program.ts");
    const program = pathToFileURL(join(import.meta.dirname, "../support/program.ts")).href;
    await writeFile(
      running,
      `import { runProgram } from ${JSON.stringify(program)};\nawait runProgram({ kubeconfig: "Pulumi.yaml" }, { delay: 0 });\n`,
    );
    const [whole, alone]: [number[], number[]] = [[], []];
    await seconds(running); // The first run may have to bundle the helper.
    for (let run = 0; run < runs; run++) {
      whole.push(await seconds(running));
      alone.push(await seconds(importing));
    }
    const [all, imported] = [median(whole), median(alone)].map((value) => rounded(value, 2));
    return { "the stack's program, s": all ?? NaN, "its imports alone, s": imported ?? NaN };
  } finally {
    await rm(folder, { recursive: true });
  }
}
