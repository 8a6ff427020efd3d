// Looks at pages with a real browser. Reads a plan as JSON from standard input, and prints what is wrong, one line each.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const { chromium } = require('playwright-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const wrong = [];
const variants = {
  light: { viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
  dark: { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
  phone: { viewport: { width: 360, height: 740 }, colorScheme: 'light', isMobile: true, hasTouch: true },
};

function listen(page, name) {
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) wrong.push(`${name}: console: ${message.text()}`); });
  page.on('pageerror', (error) => wrong.push(`${name}: ${error}`));
  page.on('dialog', (dialog) => { wrong.push(`${name}: dialog ${dialog.message()}`); dialog.dismiss(); });
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(page.url() === 'about:blank' ? request.url() : page.url()).origin) wrong.push(`${name}: asks ${request.url()}`);
  });
}

async function judge(page, name, { expect = [] }) {
  const text = await page.evaluate(() => document.body.innerText);
  for (const part of expect) if (!text.includes(part)) wrong.push(`${name}: no ${JSON.stringify(part)} in ${JSON.stringify(text)}`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) wrong.push(`${name}: ${wide} pixels wider than the screen`);
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document));
  for (const { id, help, nodes } of violations) wrong.push(`${name}: axe ${id}: ${help}: ${nodes.map((node) => node.html).slice(0, 3).join(' | ')}`);
}

async function look(browser, plan, variant) {
  const context = await browser.newContext(variants[variant]);
  for (const one of plan.pages) {
    const name = `${one.name}, ${variant}`;
    const page = await context.newPage();
    listen(page, name);
    await page.goto(one.url, { waitUntil: 'load' });
    await judge(page, name, one);
    if (plan.shots) await page.screenshot({ path: path.join(plan.shots, `${name.replace(/[^a-z0-9]+/gi, '-')}.png`), fullPage: !!plan.whole });
    await page.close();
  }
  await context.close();
}

async function withoutScript(browser, plan) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  for (const { name, url, expect = [] } of plan.pages) {
    await page.goto(url);
    const text = await page.locator('body').innerText();
    for (const part of expect) if (!text.includes(part)) wrong.push(`${name}, without script: no ${JSON.stringify(part)}`);
    if (await page.locator('.copy').count()) wrong.push(`${name}: a button that does nothing without script`);
  }
  await context.close();
}

const steps = {
  // Waits until each text has been the headline, in order, without loading the page again.
  async follows(page, { headlines }) {
    await page.evaluate(() => { window.isTheSamePage = true; });
    for (const text of headlines) {
      try {
        await page.waitForFunction((wanted) => document.querySelector('h1').textContent.includes(wanted), text, { timeout: 30_000 });
      } catch {
        wrong.push(`the headline never was ${text}, but ${await page.locator('h1').innerText()}`);
      }
    }
    if (!(await page.evaluate(() => window.isTheSamePage))) wrong.push('the page was loaded again instead of following');
  },
  async keyboard(page, { search, finds }) {
    await page.keyboard.press('Tab');
    if ((await page.evaluate(() => document.activeElement.className)) !== 'skip') wrong.push('the first stop of Tab is not the skip link');
    await page.keyboard.press('Enter');
    if ((await page.evaluate(() => document.activeElement.id)) !== 'main') wrong.push('the skip link leads nowhere');
    await page.keyboard.press('/');
    await page.keyboard.type(search);
    await page.keyboard.press('Enter');
    await page.waitForURL(/search/);
    const text = await page.locator('main').innerText();
    if (!text.includes(finds)) wrong.push(`a search for ${search} does not find ${finds}: ${text}`);
  },
  async copies(page) {
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.locator('.copy:visible').first().click();
    await page.locator('.copy:visible', { hasText: 'Copied' }).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    const command = await page.locator('pre.command:visible').first().textContent();
    if (copied !== command) wrong.push(`copied ${copied} instead of ${command}`);
  },
  async progress(page, { shows }) {
    await page.waitForFunction((wanted) => document.querySelector('.sweep:not([hidden]) .progress-text')?.textContent.includes(wanted), shows, { timeout: 20_000 });
  },
};

async function main() {
  const plan = JSON.parse(fs.readFileSync(0, 'utf8'));
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'browser-'));
  const browser = await chromium.launch({
    executablePath: plan.chromium,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    env: { ...process.env, HOME: profile },
  });
  try {
    const walk = async ({ step, url, ...rest }) => {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
      const page = await context.newPage();
      listen(page, step);
      await page.goto(url);
      await steps[step](page, rest).catch((error) => wrong.push(`${step}: ${error}`));
      await context.close();
    };
    // All at once, each in a context of its own: most of the time a page waits for something.
    const looks = plan.pages ? Object.keys(variants).map((variant) => look(browser, plan, variant)) : [];
    if (plan.pages && !plan.shots) looks.push(withoutScript(browser, plan));
    await Promise.all([...looks, ...(plan.steps ?? []).map(walk)]);
  } finally {
    await browser.close();
    fs.rmSync(profile, { recursive: true, force: true });
  }
  for (const line of wrong) console.log(line);
}

main().catch((error) => { console.log(`the browser failed: ${error.stack}`); });
