// npm run bundle: writes the build context of the helper's image, and prints the one build argument, for whoever builds the
// image without Pulumi.
import { bundleHelper } from "./bundle.ts";
import { defaultOf } from "./pulumi-yaml.ts";

const [baseImage, platform] = [defaultOf("baseImage"), defaultOf("platform")];
bundleHelper({ baseImage, platform });
process.stdout.write(`BASE_IMAGE=${baseImage}\n`);
