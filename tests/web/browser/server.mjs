/**
 * The server under test.
 *
 * `GMS_URL`: a running server; then also `GMS_DESK_LINK` (the token of a one-time link, used up by the
 * first test file that logs in) or `GMS_DESK_NAME` and `GMS_DESK_PASSWORD`, and, for the restart
 * test, `GMS_RESTART`: a command that kills the server, starts it again and returns when it is ready.
 * Without `GMS_URL` the stand-in of tests/web/mock is started.
 * `GMS_BRIEF`: only what the server has a part in, in one theme.
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { startMock } from "../mock/server.mjs";
import { enterDesk } from "./support.mjs";

const BRIEF = Boolean(process.env.GMS_BRIEF);
export const THEMES = BRIEF ? ["light"] : ["light", "dark"];
/** Options of suites that always use the stand-in. */
export const STAND_IN = BRIEF ? { skip: "GMS_BRIEF is set" } : {};

const PASSWORD = process.env.GMS_DESK_PASSWORD ?? "correct horse";
let link = process.env.GMS_DESK_LINK ?? "";

/** @returns {Promise<{url: string, world: *, mock: boolean, enter: (page: *) => Promise<void>, restart: (() => Promise<void>)|null, stop: () => Promise<void>}>} */
export async function startServer() {
  if (!process.env.GMS_URL) {
    const { url, world, Refusal, stop } = await startMock();
    return { url, world, Refusal, mock: true, stop, enter: (page) => enterDesk(page, url), restart: async () => world.restart() };
  }
  const url = new URL("/", process.env.GMS_URL).href;
  const name = process.env.GMS_DESK_NAME ?? "anna";
  const enter = async (page) => {
    const token = link.replace(/^.*#link=/, "");
    link = "";
    await enterDesk(page, url, { name, password: PASSWORD, token });
  };
  const command = process.env.GMS_RESTART;
  return {
    url, world: null, mock: false, enter, stop: async () => {},
    restart: command ? async () => { await promisify(execFile)("/bin/sh", ["-c", command]); } : null,
  };
}
