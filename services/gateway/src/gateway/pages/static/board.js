// Keeps the page fresh: asks for it again when the board says that something changed.
// Without EventSource, or when the stream fails, it asks every fifteen seconds.
(function () {
  "use strict";
  var main = document.querySelector("main[data-live]");
  if (!main || !window.fetch || !window.DOMParser) return;
  var ASK_MS = 15000;
  var sale = main.getAttribute("data-live");
  var waiting = null;
  var polling = null;
  var asking = false;
  var again = false;

  function say(text) {
    var place = document.querySelector("[data-fresh]");
    if (place && place.textContent !== text) place.textContent = text;
  }

  function refresh() {
    waiting = null;
    if (asking) { again = true; return; }
    asking = true;
    fetch(window.location.href, { cache: "no-store", credentials: "same-origin" })
      .then(function (answer) {
        if (!answer.ok) throw new Error(String(answer.status));
        return answer.text();
      })
      .then(function (text) {
        var fresh = new DOMParser().parseFromString(text, "text/html");
        var found = fresh.querySelector("main[data-live]");
        if (found && found.innerHTML !== main.innerHTML) {
          main.innerHTML = found.innerHTML;
          document.title = fresh.title;
          say("本页已于 " + new Date().toLocaleTimeString("zh-CN", { hour12: false }) + " 自动更新。");
        }
      })
      .catch(function () { say("暂时连不上，将自动重试。"); })
      .then(function () {
        asking = false;
        if (again) { again = false; soon(); }
      });
  }

  // Changes come in bursts: one look after each is enough.
  function soon() {
    if (waiting === null) waiting = window.setTimeout(refresh, 300);
  }

  function poll() {
    if (polling === null) polling = window.setInterval(refresh, ASK_MS);
  }

  function changed(event) {
    var told = {};
    try { told = JSON.parse(event.data); } catch (unreadable) { told = {}; }
    if (!sale || !told.sale_id || told.sale_id === sale) soon();
  }

  var stream = null;

  function listen() {
    if (document.hidden || stream) return;
    if (!window.EventSource) { poll(); return; }
    stream = new EventSource("/v1/board/stream");
    stream.onopen = function () {
      window.clearInterval(polling);
      polling = null;
      // What changed while nobody listened is seen by looking once.
      soon();
      say("本页随事项发生自动更新。");
    };
    ["change", "reset"].forEach(function (kind) { stream.addEventListener(kind, changed); });
    stream.onerror = function () {
      say("实时连接中断，改为定时更新。");
      poll();
      // A browser tries again by itself unless it was refused.
      if (stream && stream.readyState === 2) { hush(); window.setTimeout(listen, ASK_MS); }
    };
  }

  function hush() {
    if (stream) stream.close();
    stream = null;
  }

  // A browser allows few connections to one address: a page that nobody sees gives its own back.
  document.addEventListener("visibilitychange", function () {
    hush();
    window.clearInterval(polling);
    polling = null;
    listen();
  });
  window.addEventListener("pagehide", hush);
  listen();
})();
