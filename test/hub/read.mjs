// Reads a model as users of @huggingface/hub do. Arguments: the hub, the name, the token ("" for none),
// the folder to write to. Prints what it saw as JSON.
import { writeFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { listFiles, downloadFile, modelInfo, listModels, pathsInfo, fileExists, listCommits } from "@huggingface/hub";

const [hubUrl, name, token, folder] = process.argv.slice(2);
const options = { hubUrl, ...(token ? { accessToken: token } : {}) };
const seen = { files: [], models: [] };

const info = await modelInfo({ name, additionalFields: ["sha", "tags", "filePaths", "cardData"], ...options });
seen.info = { name: info.name, sha: info.sha, files: info.filePaths, updated: !isNaN(info.updatedAt) };
for await (const file of listFiles({ repo: name, recursive: true, ...options })) {
	seen.files.push(file);
	if (file.type !== "file") continue;
	const blob = await downloadFile({ repo: name, path: file.path, ...options });
	const to = join(folder, file.path);
	mkdirSync(dirname(to), { recursive: true });
	writeFileSync(to, Buffer.from(await blob.arrayBuffer()));
}
for await (const model of listModels({ ...options })) seen.models.push(model.name);
seen.paths = (await pathsInfo({ repo: name, paths: ["config.json", "no such"], expand: true, ...options })).map((p) => [p.path, p.lastCommit.id]);
seen.exists = [await fileExists({ repo: name, path: "config.json", ...options }), await fileExists({ repo: name, path: "nothing", ...options })];
seen.absent = await downloadFile({ repo: name, path: "nothing", ...options });
try {
	await modelInfo({ name: "nobody/nothing", ...options });
} catch (error) {
	seen.refused = [error.statusCode, error.message.split(".")[0]];
}
seen.commits = [];
for await (const commit of listCommits({ repo: name, ...options })) seen.commits.push(commit.oid);
console.log(JSON.stringify(seen));
