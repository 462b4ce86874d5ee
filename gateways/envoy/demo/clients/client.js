// Sessions of the real OpenAI client for Node, which keeps no cookie. The same as client.py.
"use strict";

const readline = require("node:readline");
const OpenAI = require("openai");

const LOST = -1; // the status of a wrong answer that looks like a success

class Wrong extends Error {}

function check(right) {
  if (!right) throw new Wrong();
}

class Session {
  constructor(job) {
    this.kind = job.kind;
    this.stream = job.stream;
    this.turn = 0;
    this.client = new OpenAI({
      apiKey: job.key ?? "none",
      baseURL: "http://127.0.0.1/v1",
      defaultHeaders: job.key === null ? { ...job.headers, Authorization: null } : job.headers,
      maxRetries: 0, // every failure has to show
      timeout: 20_000,
      fetch: async (url, options) => {
        const response = await fetch(url, options);
        this.account = response.headers.get("x-demo-account");
        return response;
      },
    });
  }

  // Continues the session, and checks that nothing of it is lost.
  async respond(fields, files = 0) {
    let made = await this.api.responses.create({ model: "demo", input: "Continue.", stream: this.stream, ...fields });
    let text = made.output_text;
    if (this.stream) {
      let last;
      for await (const event of made) last = event;
      check(last?.type === "response.completed");
      made = last.response;
      text = made.output[0].content[0].text;
    }
    const expected = `This is turn ${this.turn + 1}, with ${files} files.`;
    check(text === expected);
    this.turn += 1;
    this.text = expected;
    this.last = made.id;
  }

  async begin() {
    if (this.kind === "responses") return this.respond({});
    if (this.kind === "files") {
      this.files = [];
      for (const text of ["cats", "dogs"]) {
        const file = await OpenAI.toFile(Buffer.from(text), "a.txt");
        this.files.push((await this.api.files.create({ file, purpose: "assistants" })).id);
      }
      await this.makeStore();
    }
    this.talk = (await this.api.conversations.create()).id;
    if (this.kind === "conversation") await this.respond({ conversation: this.talk });
  }

  async makeStore() {
    const store = await this.api.vectorStores.create({ name: "both", file_ids: this.files });
    check(store.file_counts.completed === 2);
    this.store = store.id;
  }

  async followUp(number) {
    if (this.kind === "responses") {
      if (number % 2 === 0) return this.respond({ previous_response_id: this.last });
      const found = await this.api.responses.retrieve(this.last);
      check(found.id === this.last && found.output_text === this.text);
    } else if (this.kind === "conversation") {
      if (number % 2 === 0) return this.respond({ conversation: this.talk });
      const items = await this.api.conversations.items.list(this.talk);
      check(items.data.length === 2 * this.turn);
    } else if (number % 4 === 0) {
      const file = { type: "input_file", file_id: this.files[0] };
      await this.respond(
        {
          conversation: this.talk,
          input: [{ role: "user", content: [file] }],
          tools: [{ type: "file_search", vector_store_ids: [this.store] }],
        },
        3,
      );
    } else if (number % 4 === 1) {
      const found = await this.api.vectorStores.files.list(this.store);
      check(found.data.map((file) => file.id).join() === this.files.join());
    } else if (number % 4 === 2) {
      await this.makeStore();
    } else {
      check((await (await this.api.files.content(this.files[1])).text()) === "dogs");
    }
  }

  async do(job) {
    this.api = this.client.withOptions({ baseURL: `${job.url}/v1` });
    this.account = null;
    let status = 200;
    try {
      await (job.number === null ? this.begin() : this.followUp(job.number));
    } catch (error) {
      console.error(`session ${job.session}: ${error}`);
      if (error instanceof OpenAI.APIConnectionError) status = 0;
      else if (error instanceof OpenAI.APIError) status = error.status ?? LOST;
      else if (error instanceof Wrong) status = LOST;
      else throw error;
    }
    return { job: job.job, status, account: this.account };
  }
}

const sessions = new Map();

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const job = JSON.parse(line);
  if (!sessions.has(job.session)) sessions.set(job.session, new Session(job));
  console.log(JSON.stringify(await sessions.get(job.session).do(job)));
});
