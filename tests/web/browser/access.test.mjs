/** Every page in its states: nothing serious for axe-core, everything within the policy. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startServer, THEMES } from "./server.mjs";
import { audit, goReady, openContext, startBrowser, startChat } from "./support.mjs";

for (const theme of THEMES) {
  describe(`pages, ${theme}`, () => {
    let server;
    let chromium;

    before(async () => {
      server = await startServer();
      chromium = await startBrowser();
    });

    after(async () => {
      await chromium?.stop();
      await server?.stop();
    });

    const open = (more) => openContext(chromium.browser, server.url, { theme, ...more });

    it("start, storage, services", async () => {
      const { context, faults } = await open();
      const page = await context.newPage();
      for (const path of ["", "genesys/resources/storagetest.html", "gms-web/resources/servicetest.html"]) {
        await page.goto(new URL(path, server.url).href);
        await page.locator("h1").waitFor();
        await audit(page, path);
      }
      await page.goto(new URL("genesys/resources/storagetest.html", server.url).href);
      await page.locator("#create").click();
      await page.locator(".result .chip.green").waitFor();
      await page.locator("#query").click();
      await page.locator(".result", { hasText: "Value2" }).first().waitFor();
      await page.locator("#file").setInputFiles({ name: "note.txt", mimeType: "text/plain", buffer: Buffer.from("written in a file") });
      await page.locator("#update").click();
      await page.locator(".result", { hasText: "note.txt" }).first().waitFor();
      assert.ok((await page.locator(".result .chip.red").count()) === 0);
      await page.locator("#delete").click();
      await page.locator(".result", { hasText: "DELETE" }).waitFor();
      await audit(page, "results");
      assert.deepEqual(faults, []);
      await context.close();
    });

    it("a service on the test page: created with a file, asked, updated, deleted", async () => {
      const { context, faults } = await open();
      const page = await context.newPage();
      await page.goto(new URL("genesys/resources/servicetest.html", server.url).href);
      const choose = async (id, text) => {
        await page.locator(id).fill(text);
        await page.locator(id).blur();
      };
      const answered = (what, status) => page.locator(".result", { hasText: what }).first().locator(".chip", { hasText: String(status) }).waitFor();
      await choose("#service-name", "match-interaction");
      await page.getByText("Internal: answered to").waitFor();
      await choose("#service-name", "request-chat");
      assert.equal(await page.locator("#create-parameters input").first().inputValue(), "_verbose");
      await page.locator("#create-files").getByRole("button", { name: "Add file" }).click();
      await page.locator("#create-files input[type=file]").setInputFiles({ name: "MyPic.png", mimeType: "image/png", buffer: Buffer.from("not really") });
      await page.locator("#create").click();
      await answered("service/request-chat", 200);
      const id = await page.locator("#service-id").inputValue();
      assert.match(id, /^[0-9a-f-]{16,}$/);
      await page.locator("#send").click();
      await answered(`${id}/update`, 200);
      for (const kind of ["multipart", "json", "query"]) {
        await page.locator("#request-body").selectOption(kind);
        await page.locator("#send").click();
        await page.locator(".result", { hasText: `${id}/update` }).nth(["multipart", "json", "query"].indexOf(kind) + 1).waitFor();
      }
      assert.equal(await page.locator(".result .chip.red").count(), 0, await page.locator(".results").innerText());
      await page.locator("#delete").click();
      await answered("DELETE", 200);
      await page.locator("#send").click();
      await answered(`${id}/update`, 404);
      await audit(page, "service answers");
      assert.deepEqual(faults, []);
      await context.close();
    });

    it("the customer's page", async () => {
      const { context, faults } = await open({ width: 390, height: 844, touch: true });
      const page = await context.newPage();
      await page.goto(new URL("demo/", server.url).href);
      await page.locator(".chat-button").waitFor();
      await audit(page, "shop");
      await startChat(page, server.url, { name: "Axel", subject: "Access" });
      await page.locator("#message").fill("Hello");
      await page.keyboard.press("Enter");
      await page.locator(".bubble").waitFor();
      await audit(page, "chat");
      await page.getByRole("button", { name: "What happens on the wire" }).click();
      await page.locator(".wire-item summary:visible").first().click();
      await audit(page, "wire");
      await page.locator(".wire-close").click();
      await page.getByRole("button", { name: "End chat" }).click();
      await audit(page, "question");
      await page.locator("dialog button.danger").click();
      await page.locator(".ended").waitFor();
      await audit(page, "ended");
      assert.deepEqual(faults, []);
      await context.close();
    });

    it("the desk", async () => {
      const { context, faults } = await open();
      const page = await context.newPage();
      await page.goto(new URL("desk/", server.url).href);
      await page.locator("#login-name").waitFor();
      await audit(page, "log-in");
      const { context: shop } = await open({ width: 390, height: 844 });
      const customer = await shop.newPage();
      await startChat(customer, server.url, { name: "Dora", subject: "Desk" });
      await server.enter(page);
      await goReady(page);
      await page.locator(".entry").first().waitFor();
      await audit(page, "queue");
      await page.locator(".entry", { hasText: "Dora" }).last().locator(".item-main").first().click();
      await page.locator(".customer .person").waitFor();
      await page.locator("#composer").fill("Hello Dora");
      await page.keyboard.press("Enter");
      await page.locator(".line.own").waitFor();
      await audit(page, "conversation");
      await page.locator("#composer").fill("/");
      await page.locator(".canned").waitFor();
      await audit(page, "canned answers");
      await page.locator("#composer").fill("");
      await page.locator("#composer").press("Escape");
      await page.keyboard.press("?");
      await page.locator("dialog .shortcuts").waitFor();
      await audit(page, "shortcuts");
      await page.keyboard.press("Escape");
      await page.locator(".account").click();
      await audit(page, "menu");
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Agents", exact: true }).click();
      await page.locator(".agent-row").first().waitFor();
      await audit(page, "agents");
      await page.keyboard.press("Escape");
      await page.setViewportSize({ width: 390, height: 844 });
      await audit(page, "phone");
      assert.deepEqual(faults, []);
      await shop.close();
      await context.close();
    });
  });
}
