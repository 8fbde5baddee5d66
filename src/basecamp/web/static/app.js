// What the page does beyond links and forms: times in the reader's zone, refreshing while
// somebody looks, and no order sent twice.
(() => {
  "use strict";

  const two = (number) => String(number).padStart(2, "0");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const inWords = new Intl.RelativeTimeFormat("en", { numeric: "always" });

  const local = (at) =>
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;

  function span(seconds) {
    const minutes = Math.floor(seconds / 60);
    const hours = Math.floor(minutes / 60);
    if (hours) return `${hours}h ${two(minutes % 60)}m`;
    return minutes ? `${minutes}m ${two(seconds % 60)}s` : `${seconds}s`;
  }

  function relative(seconds) {
    for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
      if (Math.abs(seconds) >= size) return inWords.format(Math.trunc(seconds / size), unit);
    }
    return seconds > 0 ? "in a moment" : "just now";
  }

  function show(time) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    const seconds = Math.round((at - Date.now()) / 1000);
    const text = {
      absolute: () => local(at),
      relative: () => relative(seconds),
      since: () => span(Math.max(0, -seconds)),
      kept: () => time.textContent,
    }[time.dataset.style]();
    if (time.textContent !== text) time.textContent = text;
    const title = `${local(at)} (${zone})`;
    if (time.title !== title) time.title = title;
  }

  const showTimes = () => document.querySelectorAll("time[data-style]").forEach(show);

  // Before the browser paints, so that a refreshed part never flickers between two zones.
  new MutationObserver(showTimes).observe(document.body, { childList: true, subtree: true, characterData: true });
  setInterval(showTimes, 1000);

  const due = new WeakMap();

  function refresh(part) {
    due.set(part, Date.now() + Number(part.dataset.refresh) * 1000);
    part.dispatchEvent(new CustomEvent("refresh"));
  }

  function refreshDue() {
    if (document.visibilityState !== "visible") return;
    for (const part of document.querySelectorAll("[data-refresh]")) {
      if (!due.has(part)) due.set(part, loaded + Number(part.dataset.refresh) * 1000);
      if (Date.now() >= due.get(part)) refresh(part);
    }
  }

  const loaded = Date.now();
  setInterval(refreshDue, 500);
  document.addEventListener("visibilitychange", refreshDue);

  const lost = document.getElementById("lost");
  const fresh = document.getElementById("fresh");

  function updated() {
    lost.hidden = true;
    fresh.hidden = !document.querySelector("[data-refresh]");
    fresh.lastElementChild.textContent = local(new Date()).slice(11);
  }

  function failed(reason) {
    lost.textContent = `${reason} What is shown is from ${fresh.lastElementChild.textContent}.`;
    lost.hidden = false;
  }

  document.addEventListener("htmx:after:request", (event) => {
    const status = event.detail.ctx.response.status;
    if (status < 400) updated();
    else if (status === 401) failed("You are signed out. Reload the page to sign in again.");
    else failed(`The page could not be refreshed (HTTP ${status}).`);
  });
  document.addEventListener("htmx:error", () => failed("Basecamp does not answer."));

  // A log that is read at its end stays at its end.
  let atEnd = true;
  const toEnd = (log) => log && atEnd && (log.scrollTop = log.scrollHeight);
  document.addEventListener("scroll", (event) => {
    const log = event.target;
    if (log.id === "log") atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
  }, true);
  document.addEventListener("htmx:after:swap", () => toEnd(document.getElementById("log")));

  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    // After the event, for a disabled button does not send its value.
    setTimeout(() => event.target.querySelectorAll("button").forEach((button) => { button.disabled = true; }));
  });

  // A page that the browser kept has an order's key that may be used up.
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  showTimes();
  updated();
  toEnd(document.getElementById("log"));
  document.getElementById("preview")?.scrollIntoView({ block: "nearest" });
})();
