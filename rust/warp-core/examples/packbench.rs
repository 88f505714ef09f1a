use std::{time::{Duration,Instant},sync::{Arc,Mutex},fs::File,path::PathBuf};
use warp_core::{codec::*,cutter::*,dedup::FragmentIndex,keys::*,matcher::Matcher,pack::*,walk::*};
fn main(){
 let a:Vec<String>=std::env::args().collect(); let threads:usize=a[3].parse().unwrap(); let level:i32=a[4].parse().unwrap(); let verify=a[5]=="1";
 let t=Instant::now();
 let keys=Arc::new(ScopeKeys::new(Some(&[7;32]),Suite::ChaCha20Poly1305).unwrap());
 let cutter=Cutter::new(Algorithm::Buzhash64,Sizes{min:16<<10,mean:64<<10,max:256<<10},keys.cutter_key()).unwrap();
 let policy=Policy{rows:vec![PolicyRow{entropy_below:7.9,codec:Codec::Zstd,level}]};
 let o=PackOptions{keys,cutter,chunk:Sizes{min:512<<10,mean:1<<20,max:2<<20},policy,threads,memory:256<<20,verify};
 let idx=Arc::new(Mutex::new(FragmentIndex::new(64<<20,std::env::temp_dir())));
 let p=PackPipeline::new(o,File::create(&a[2]).unwrap().into(),0,idx).unwrap();
 let mut w=Walker::new(WalkOptions{roots:vec![Root{stored:vec![],path:PathBuf::from(&a[1])}],excludes:Matcher::new(&[]).unwrap(),exclude_caches:false,one_file_system:false,skip:vec![]}).unwrap();
 let mut tw=Duration::ZERO; let mut tables=0;
 loop{ let t0=Instant::now(); let b=w.next(4096).unwrap(); tw+=t0.elapsed(); let Some(b)=b else{break}; let mut ok=p.submit(b).unwrap(); while !ok{tables+=p.poll(Duration::ZERO).unwrap().tables.len(); ok=p.submit_rest().unwrap();}}
 p.finish();
 let c=loop{let e=p.poll(Duration::from_millis(100)).unwrap(); tables+=e.tables.len(); if e.done{break e.counters}};
 println!("walk {:.2}s total {:.2}s tables {tables} {c:?} {:.1} MB out", tw.as_secs_f64(), t.elapsed().as_secs_f64(), std::fs::metadata(&a[2]).unwrap().len() as f64/1e6);
}
