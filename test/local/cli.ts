// The command line of the local cloud: npm run up | down | output | logs | env.
import { parseArgs } from "node:util";
import { commands, type Options } from "./cli-commands.ts";
import { checkMachine } from "./install.ts";
import { LocalCloudError } from "./process.ts";
import { say } from "./progress.ts";

const usage = `usage: npm run up     [-- [-c KEY=VALUE]... [--stack NAME]]
       npm run output [-- [NAME] [--json] [--stack NAME]]
       npm run logs   [-- [--follow] [--stack NAME]]
       npm run -s env
       npm run down   [-- [--stack NAME]]`;

function readArguments(): [command: string, options: Options] {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      stack: { type: "string", default: "dev" },
      config: { type: "string", short: "c", multiple: true, default: [] },
      json: { type: "boolean", default: false },
      follow: { type: "boolean", short: "f", default: false },
    },
  });
  const [command = "", name] = positionals;
  return [command, { ...values, name }];
}

try {
  const [command, options] = readArguments();
  const run = commands[command];
  if (run === undefined) throw new LocalCloudError(usage);
  checkMachine(process.platform, process.getuid?.());
  // A profile of the user's is in none of the AWS configuration files that are read here.
  delete process.env["AWS_PROFILE"];
  await run(options);
} catch (error) {
  // Expected errors have a message for the user. Any other one is a bug of the local cloud, so its stack trace is shown.
  const { message, stack, code } = error as NodeJS.ErrnoException;
  const isUsageError = code?.startsWith("ERR_PARSE_ARGS") === true;
  const isExpected = error instanceof LocalCloudError || isUsageError;
  say(isExpected ? message : (stack ?? String(error)));
  if (isUsageError) say(usage);
  process.exitCode = 1;
}
