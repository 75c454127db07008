// pulumi-resource-aws: the plugin that the engine starts for @pulumi/aws.
import { servePlugin } from "../plugin-server.ts";
import { awsProvider } from "./provider.ts";

await servePlugin(awsProvider);
