// Every text of the page: [English, Chinese], side by side, so that neither can be forgotten.

export const TEXTS = {
  title: ["Dashboard", "控制台"], skip: ["Skip to the content", "跳到内容"], sections: ["Sections", "页面"], runs: ["Runs", "请求记录"], charts: ["Charts", "图表"],
  otherLanguage: ["中文", "English"], logout: ["Log out", "退出"], loading: ["Loading…", "正在加载…"],

  loginTitle: ["Log in to the dashboard", "登录控制台"], loginHint: ["With a token that has the scope admin. This prints one:", "需要带有 admin 权限的令牌。用以下命令获取："],
  token: ["Token", "令牌"], login: ["Log in", "登录"], loginKept: ["The browser keeps it in a cookie that no script can read, until the token expires.", "浏览器将其保存在脚本无法读取的 Cookie 中，直到令牌过期。"],
  e_unauthorized: ["The token was not accepted, or it has expired.", "令牌无效或已过期。"], e_forbidden: ["This token does not have the scope admin.", "此令牌没有 admin 权限。"],
  e_invalid_request: ["The server could not take this request.", "服务器无法接受此请求。"], e_not_found: ["There is no such run in the log.", "日志中没有这条记录。"], e_gone: ["This run is no longer kept.", "此任务已不再保留。"],
  e_unavailable: ["The database is out of reach. Runs go on, and are written when it is back.", "数据库暂时无法访问。任务照常进行，恢复后会补写记录。"],
  e_internal: ["Something went wrong on the server.", "服务器内部出错。"], e_unreachable: ["The server does not answer.", "服务器没有响应。"], retry: ["Try again", "重试"], serverSays: ["The server says: {text}", "服务器消息：{text}"],
  noLogTitle: ["This server keeps no log", "此服务器未保存日志"],
  noLog: ["Its database_url is off, or SQLAlchemy is not installed (pip install \"persona_stream[sql]\"). Streams work all the same; the dashboard has nothing to show.", "database_url 已关闭，或未安装 SQLAlchemy（pip install \"persona_stream[sql]\"）。流式接口不受影响，但控制台没有内容可显示。"],

  filters: ["Filters", "筛选"], search: ["Search", "搜索"], searchHint: ["Search…", "搜索…"], state: ["Status", "状态"], all: ["All", "全部"], failed: ["Failed", "失败"],
  complete: ["Complete", "完成"], error: ["Error", "错误"], timeout: ["Timeout", "超时"], cancelled: ["Cancelled", "已取消"], processing: ["In progress", "进行中"],
  user: ["User or persona", "用户或人物"], endpoint: ["Endpoint", "接口"], model: ["Model", "模型"], slow: ["Took", "耗时"], when: ["Time", "时间"],
  anyUser: ["Anyone", "任何人"], anyEndpoint: ["Any endpoint", "全部接口"], anyModel: ["Any model", "全部模型"], anySlow: ["Any duration", "不限耗时"], atLeast: ["{n} s or longer", "{n} 秒以上"],
  anyTime: ["Any time", "不限时间"], lastHour: ["Last hour", "最近 1 小时"], last6: ["Last 6 hours", "最近 6 小时"], lastDay: ["Last 24 hours", "最近 24 小时"], lastWeek: ["Last 7 days", "最近 7 天"], lastMonth: ["Last 30 days", "最近 30 天"],
  clear: ["Clear filters", "清除筛选"], conversation: ["Conversation", "会话"], conversationIs: ["Conversation {id}", "会话 {id}"],

  time: ["Time", "时间"], who: ["Persona · user", "人物 · 用户"], question: ["Question", "问题"], ttft: ["TTFT", "首字"], ttftLong: ["Time to the first text", "首字时间"], total: ["Total", "总耗时"], tokens: ["Tokens", "Token"], cost: ["Cost", "费用"],
  list: ["Runs, newest first", "请求记录，最新在前"], noRuns: ["No runs fit these filters.", "没有符合条件的记录。"], noRunsYet: ["No runs yet. The first one appears here by itself.", "还没有记录。第一条会自动出现在这里。"],
  more: ["Load more", "加载更多"], searchMore: ["Search further back (so far back to {when})", "继续向前搜索（已搜到 {when}）"], end: ["That is all.", "已全部显示。"], newRuns: ["{n} new", "{n} 条新记录"], nShown: ["{n} runs shown", "显示 {n} 条"], notKept: ["(text not kept)", "（未保存文本）"],

  back: ["All runs", "全部记录"], tabs: ["Parts of the run", "任务详情"], request: ["Request", "请求"], response: ["Response", "响应"], http: ["HTTP", "HTTP"], timing: ["Timing", "耗时"],
  run: ["Run", "任务"], copy: ["Copy", "复制"], copied: ["Copied", "已复制"], persona: ["Persona", "人物"], caller: ["User", "用户"], cancel: ["Cancel run", "取消任务"], cancelling: ["Cancelling…", "正在取消…"],
  prompt: ["Additional prompt", "附加提示词"], body: ["Body as it was sent", "原始请求体"], style: ["Style", "风格"], backend: ["Backend", "后端"], provider: ["Provider", "提供方"],
  textsOff: ["Not kept: the operator has switched log_bodies off, or there was none.", "未保存：管理员关闭了 log_bodies，或没有内容。"],
  answer: ["Answer", "回答"], reasoning: ["Reasoning", "推理过程"], noAnswer: ["There is no answer.", "没有回答。"], noAnswerYet: ["No text yet.", "还没有文本。"], wentWrong: ["What went wrong", "错误原因"], code: ["Code", "代码"], finish: ["Ended because", "结束原因"], upstream: ["What was asked of providers", "向提供方发出的请求"], tryNumber: ["Try {n}: {provider}, {model}", "第 {n} 次：{provider}，{model}"], sent: ["Sent", "发送"], received: ["Received", "收到"], raw: ["What the backend kept of its own", "后端保留的原始数据"],
  live: ["Live", "实时"], liveBroken: ["The connection broke. It comes back by itself…", "连接中断，正在自动恢复…"], writing: ["Writing the answer…", "正在输入回答…"], progress: ["Progress", "进度"], elsewhere: ["In progress. Its stream cannot be read from here.", "进行中，但无法在此读取其数据流。"],
  requestHeaders: ["Request headers", "请求头"], responseHeaders: ["Response headers", "响应头"], noHeaders: ["None were kept.", "没有保存。"], name: ["Name", "名称"], value: ["Value", "值"], address: ["Client address", "客户端地址"], agent: ["Client", "客户端"], status: ["Status", "状态"], dialect: ["Dialect", "协议"],
  delivered: ["What readers were sent", "发送给读者的内容"], readers: ["Readers", "读者"], resumes: ["Times resumed", "续读次数"], events: ["Events", "事件"], pieces: ["Pieces of text", "文本片段"], bytes: ["Bytes", "字节"], characters: ["Characters", "字符"],
  waterfall: ["Where the time went", "时间分布"], waiting: ["Waiting for a place", "排队等待"], processingStage: ["Processing", "处理"], provided: ["Provider", "提供方"], text: ["Text from the backend", "后端文本"], firstText: ["Until the first text", "首字之前"], firstEvent: ["Until the first event", "首个事件之前"], delivery: ["Delivery", "发送"], stage: ["Stage", "阶段"], seconds: ["Seconds", "秒"], from: ["From", "开始"], to: ["To", "结束"],
  tpot: ["Per output token", "每个输出 Token"], step: ["Step", "步骤"], steps: ["What happened, and when", "事件经过"], noTiming: ["Nothing is measured yet.", "还没有测量数据。"], after: ["After", "时刻"],
  k_started: ["The backend began", "后端开始处理"], k_reported: ["Report", "进度报告"], k_reasoned: ["Reasoning", "推理"], k_text: ["Text", "文本"], k_asked: ["Provider asked", "询问提供方"], k_answered: ["Answered", "已回答"], k_failed: ["Failed", "失败"], nCharacters: ["{n} characters", "{n} 个字符"], lasted: ["for {s}", "持续 {s}"],
  inputTokens: ["Input tokens", "输入 Token"], outputTokens: ["Output tokens", "输出 Token"], allTokens: ["All tokens", "全部 Token"], origin: ["Counted by", "统计来源"], byProvider: ["the provider", "提供方"], byUs: ["estimated here", "本机估算"], noTokens: ["Tokens are not known for this run.", "此任务没有 Token 数据。"], price: ["Price for a million tokens, on the average", "每百万 Token 平均价格"], noPrice: ["No price is known for this model. A list of your own can be set with --prices.", "没有此模型的价格。可用 --prices 指定自己的价格表。"],
  forget: ["Delete this user's data…", "删除此用户的数据…"], forgetTitle: ["Delete all that is kept of {name}?", "删除 {name} 的所有数据？"], forgetText: ["Every run of this user in the log and every conversation are deleted, and runs under way are cancelled. This cannot be undone.", "将删除此用户在日志中的所有任务和全部会话，并取消进行中的任务。此操作无法撤销。"], forgetYes: ["Delete", "删除"], forgetNo: ["Keep", "保留"], forgotten: ["All that was kept of {name} is deleted.", "已删除 {name} 的所有数据。"],

  range: ["Range", "范围"], r1: ["1 h", "1 小时"], r6: ["6 h", "6 小时"], r24: ["24 h", "24 小时"], r168: ["7 d", "7 天"], r720: ["30 d", "30 天"], zoomIn: ["Zoom in", "放大"], zoomOut: ["Zoom out", "缩小"], earlier: ["Earlier", "更早"], later: ["Later", "更晚"], zoomHint: ["Drag over a chart to zoom, double-click to go back. Arrow keys read it out.", "在图上拖动可放大，双击还原；方向键逐点读取。"],
  requests: ["Requests", "请求数"], errors: ["Failed", "失败"], inFlight: ["In flight, on average", "平均并发"], p: ["p{n}", "p{n}"], perSlice: ["per {s}", "每 {s}"], summary: ["In all", "汇总"], errorRate: ["Failed", "失败率"], mean: ["Mean", "平均"], ofRuns: ["Runs", "任务数"], pace: ["Delivery, characters a second", "发送速度（字符/秒）"], performance: ["Performance: means of each stage", "性能：各阶段平均值"], numbers: ["The same as numbers", "以数字显示"], noData: ["No runs in this time.", "此时间段没有任务。"],
  sec: ["{n} s", "{n} 秒"], ms: ["{n} ms", "{n} 毫秒"], min: ["{n} min", "{n} 分"], hour: ["{n} h", "{n} 小时"], day: ["{n} d", "{n} 天"],
};

const KEY = "persona_stream.dashboard.locale";
let chosen = null;
try { chosen = localStorage.getItem(KEY); } catch { /* a browser that forbids storage: the page works without memory */ }

export function language() {
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag === "zh" || tag === "en") ?? "en";
}
export function switchLanguage() {
  chosen = language() === "zh" ? "en" : "zh";
  try { localStorage.setItem(KEY, chosen); } catch { /* as above */ }
}
export function t(key, values = {}) {
  return TEXTS[key][language() === "zh" ? 1 : 0].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
