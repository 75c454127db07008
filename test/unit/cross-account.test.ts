import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { crossAccountPolicies } from "../../infra/cross-account.ts";
import { helperArn, roleArn } from "../../infra/iam-arns.ts";
import type { ImageRights } from "../../infra/image-rights.ts";
import { pullActions, pushActions } from "../support/ecr-actions.ts";
import { account, ownRegistry } from "../support/program.ts";

const other = "444455556666";
const pushRole = `arn:aws:iam::${account}:role/ecr-helper-push`;

describe("the repository policies for other accounts", () => {
  const host = `${other}.dkr.ecr.us-east-1.amazonaws.com`;
  const rights: ImageRights = {
    own: ownRegistry,
    repositoryName: "ecr-helper",
    registries: [`${account}.dkr.ecr.us-east-1.amazonaws.com`, host],
    pullRepositories: ["base/*", "apps/api", `arn:aws:ecr:us-east-1:${other}:repository/shared`],
    pushRepositories: ["apps/*", `arn:aws:ecr:us-east-1:${account}:repository/own`],
    pullThroughCache: ["hub/*"],
  };
  const statement = (Sid: string, Action: string[], ...who: string[]): object => ({
    Sid,
    Effect: "Allow",
    Principal: { AWS: `arn:aws:iam::${account}:root` },
    Action,
    ...(who.length === 0 ? {} : { Condition: { ArnEquals: { "aws:PrincipalArn": who } } }),
  });
  const policy = (...Statement: object[]): object => ({ Version: "2012-10-17", Statement });

  it("allow exactly the helper, by host and pattern, the actions of the lists that contain the pattern", () => {
    const oidc = { oidc: "eks", createProvider: false } as const;
    const cases = [
      [{ mode: "accessKey", userName: "ecr-helper", generation: 1 }, undefined, "user/ecr-helper"],
      [{ mode: "irsa", roleName: "puller", ...oidc }, "/builds/ci/", "role/builds/ci/puller"],
      [{ mode: "podIdentity", roleName: "puller" }, "/", "role/puller"],
      [{ mode: "kube2iam", roleName: "puller", trustedPrincipals: [] }, "/a*$?/", "role/a${*}${$}${?}/puller"],
      [{ mode: "node" }, "/builds/", undefined],
    ] as const;
    for (const [identity, path, entity] of cases) {
      const helper = entity && `arn:aws:iam::${account}:${entity}`;
      const askers = { helper: helperArn({ identity, path }, ownRegistry), pushRole };
      const pull = statement("EcrHelperPull", pullActions, ...(helper === undefined ? [] : [helper, pushRole]));
      const push = statement("EcrHelperPush", pushActions, pushRole);
      const expected = {
        [host]: {
          "base/*": policy(pull),
          "apps/api": policy(pull, push),
          shared: policy(pull),
          "apps/*": policy(pull, push),
        },
      };
      assert.equal(JSON.stringify(crossAccountPolicies(rights, askers)), JSON.stringify(expected), "in this order");
    }
  });

  it("allow everything for a repository in a single policy, although several patterns match it", () => {
    const lists = { pullRepositories: ["team-*", "*-lib"], pushRepositories: ["*-app", "team-x-app"] };
    const policies =
      crossAccountPolicies({ ...rights, ...lists }, { helper: undefined, pushRole })?.[host] ?? assert.fail(host);
    const pull = statement("EcrHelperPull", pullActions);
    const push = statement("EcrHelperPush", pushActions, pushRole);
    assert.deepEqual(policies, {
      "team-*": policy(pull),
      "*-lib": policy(pull),
      "*-app": policy(pull, push),
      "team-x-app": policy(pull, push),
    });
  });

  it("are the same by whichever hosts a registry is named, and listed once, by its standard host", () => {
    const askers = { helper: undefined, pushRole };
    const hosts = [`${other}.dkr-ecr.us-east-1.on.aws`, `${other}.dkr.ecr-fips.us-east-1.amazonaws.com`];
    for (const registries of [hosts, hosts.slice(1), [...hosts, host]]) {
      assert.deepEqual(crossAccountPolicies({ ...rights, registries }, askers), crossAccountPolicies(rights, askers));
    }
  });

  it("are undefined if no repository of another account is configured", () => {
    const nobody = { helper: undefined, pushRole: undefined };
    const none = { pullRepositories: [], pushRepositories: [] };
    assert.equal(crossAccountPolicies({ ...rights, ...none }, nobody), undefined);
    assert.equal(crossAccountPolicies({ ...rights, registries: rights.registries.slice(0, 1) }, nobody), undefined);
  });

  it("use the ARNs of their partition", () => {
    const own = { partition: "aws-cn", accountId: account, region: "cn-north-1" };
    const registries = [`${other}.dkr.ecr.cn-northwest-1.amazonaws.com.cn`];
    const helper = helperArn({ identity: { mode: "podIdentity", roleName: "puller" }, path: undefined }, own);
    const askers = { helper, pushRole: roleArn("puller-push", { path: undefined }, own) };
    const text = JSON.stringify(crossAccountPolicies({ ...rights, own, registries }, askers));
    assert.ok(text.includes(`{"AWS":"arn:aws-cn:iam::${account}:root"}`));
    assert.ok(
      text.includes(
        `{"aws:PrincipalArn":["arn:aws-cn:iam::${account}:role/puller","arn:aws-cn:iam::${account}:role/puller-push"]}`,
      ),
    );
    assert.ok(!text.includes("arn:aws:"));
  });
});
