// Makes the local Kubernetes an EKS cluster: registers it with the emulator's EKS, and serves the authenticator for IAM principals
// and the agents of its node. It is a separate program, started with the cloud.
import { readFileSync } from "node:fs";
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttps } from "node:https";
import { text } from "node:stream/consumers";
import { CreateClusterCommand, EKSClient } from "@aws-sdk/client-eks";
import { CreateRoleCommand, IAMClient, PutRolePolicyCommand } from "@aws-sdk/client-iam";
import { reviewToken } from "./eks-authenticator.ts";
import { authenticatorCertificate, cluster, nodeRole, ports, roleArn } from "./settings.ts";
import { serveNode } from "./node-agents.ts";
import type { EksResponse, EksRequest } from "./eks-request.ts";

const clients = { eks: new EKSClient(), iam: new IAMClient() };

const trustPolicyFor = (service: string): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Principal: { Service: service }, Action: "sts:AssumeRole" }],
  });

/** Creates the cluster and the role of its node, which may assume every role that trusts it. Existing ones stay. */
async function makeCluster(): Promise<void> {
  const unlessThere = async (made: Promise<unknown>): Promise<void> =>
    void (await made.catch((error: unknown) => {
      if (!/EntityAlreadyExists|ResourceInUse/.test((error as Error).name)) throw error;
    }));
  const makeRole = async (RoleName: string, service: string): Promise<void> =>
    unlessThere(
      clients.iam.send(new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: trustPolicyFor(service) })),
    );
  await makeRole(nodeRole, "ec2.amazonaws.com");
  await makeRole(`${cluster}-cluster`, "eks.amazonaws.com");
  const assume = { Effect: "Allow", Action: "sts:AssumeRole", Resource: "*" };
  const PolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement: [assume] });
  await clients.iam.send(new PutRolePolicyCommand({ RoleName: nodeRole, PolicyName: "kube2iam", PolicyDocument }));
  const described = { name: cluster, roleArn: roleArn(`${cluster}-cluster`), resourcesVpcConfig: {} };
  await unlessThere(clients.eks.send(new CreateClusterCommand(described)));
}

const serve =
  (handle: (request: EksRequest) => Promise<EksResponse>) =>
  (incoming: IncomingMessage, response: ServerResponse): void => {
    const answer = async (): Promise<void> => {
      const { method = "", url: path = "", headers, socket } = incoming;
      const address = socket.remoteAddress ?? "";
      const answer = await handle({ method, path, headers, address, body: await text(incoming) });
      if (answer === undefined) response.writeHead(403).end("not allowed");
      else if (typeof answer === "string") response.writeHead(200, { "content-type": "text/plain" }).end(answer);
      else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    };
    answer().catch((error: unknown) => {
      process.stderr.write(`${String(incoming.method)} ${String(incoming.url)}: ${String(error)}\n`);
      response.writeHead(403).end(error instanceof Error ? error.message : "failed");
    });
  };

await makeCluster();
const { file, key } = authenticatorCertificate;
createHttps({ cert: readFileSync(file), key: readFileSync(key) }, serve(reviewToken)).listen(
  ports.authenticator.port,
  ports.authenticator.address,
);
createHttp(serve(serveNode)).listen(ports.nodeAgents.port, ports.nodeAgents.address);
